"""Which processes and cgroups the configuration means, and what their counters add up to."""
