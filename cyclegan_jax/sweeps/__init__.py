"""Trains many trials of one config and finds out which values are best."""
