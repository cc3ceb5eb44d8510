"""From a scan to a label map with a bundle; no torch."""
