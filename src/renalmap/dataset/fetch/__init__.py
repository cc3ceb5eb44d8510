"""Fetching a KiTS data set: where its files are, how they are transferred, and what proves them complete."""
