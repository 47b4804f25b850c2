"""Draws image grids and tables of text, and makes HTML pages. It knows nothing of CycleGAN."""
