"""What `init` makes: a look at the machine, and a configuration to start from."""
