"""From scans to training batches and test pairs."""
