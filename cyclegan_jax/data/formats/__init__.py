"""Readers and writers of scan files, one file for each format, and their table."""
