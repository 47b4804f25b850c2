"""Scores of a checkpoint: under named protocols, by region, by lesion, and without pairs."""
