"""Checks a device: its numbers against a CPU's, its speed, its memory against what was planned."""
