"""Readers and writers of scan files: a file for each format; `readers.py` has their table."""
