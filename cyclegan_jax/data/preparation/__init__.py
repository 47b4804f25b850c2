"""From folders or lists of scans to a prepared data set, divided by subject."""
