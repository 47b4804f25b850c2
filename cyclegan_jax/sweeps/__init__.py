"""Many trials of one config, and which values are best."""
