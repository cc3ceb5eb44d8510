"""Numbers a surgeon reads: volumes, diameters, intensities, sides."""
