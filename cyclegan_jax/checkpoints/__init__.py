"""Saving and restoring runs with orbax: contents, integrity, retention."""
