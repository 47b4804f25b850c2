"""The four networks as Flax modules: the U-Net generators and the patch discriminators."""
