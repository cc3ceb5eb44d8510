"""Training and export: the only package, with `renalmap.networks`, that sees torch."""
