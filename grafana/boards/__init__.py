"""The dashboards, one file for each; each has a BOARD."""
