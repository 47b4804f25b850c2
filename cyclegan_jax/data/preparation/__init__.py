"""Turns folders or lists of scans into a prepared data set, divided by subject."""
