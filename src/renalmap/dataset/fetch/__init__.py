"""Fetching a KiTS data set: where its files lie, how they come over the network, what proves them whole."""
