"""Convolutions as array operations: the ways to compute them, chosen by platform and size."""
