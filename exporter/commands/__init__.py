"""What `vmem-exporter` can be asked for, a module each: what arguments it takes, and `run`, which gives the exit code.

They import what they need when they run, so that a wrong flag is answered at once.
"""
