"""Makes the page that shows a run."""
