"""Where steps run: devices, independent trials on devices, several processes as one run."""
