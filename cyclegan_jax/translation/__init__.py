"""Translates scans with a checkpoint and writes the results."""
