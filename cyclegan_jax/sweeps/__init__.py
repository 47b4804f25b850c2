"""Sweeps: many trials of one config, and the answer which values are best."""
