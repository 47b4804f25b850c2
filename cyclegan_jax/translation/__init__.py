"""Scans in, translated scans out."""
