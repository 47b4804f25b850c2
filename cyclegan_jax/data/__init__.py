"""From prepared scans to batches: intensities, framing, augmentation, pairs, order."""
