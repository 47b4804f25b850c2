"""Turns scans into prepared data sets, and those into training batches and pairs for scoring."""
