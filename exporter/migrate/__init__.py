"""Configurations of other exporters, turned into this one's."""
