"""Where trained generators come from: a run's checkpoint, or a model folder."""
