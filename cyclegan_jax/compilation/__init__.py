"""The training step compiled for hardware that is not there, and what the program shows."""
