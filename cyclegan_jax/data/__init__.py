"""From files or phantoms to batches: read, normalise, prepare, augment, pair."""
