"""Pictures, tables of text and HTML, knowing nothing of CycleGAN."""
