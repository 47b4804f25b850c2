"""Exports a trained run for use elsewhere."""
