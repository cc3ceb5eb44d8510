"""Cross-validated comparisons and the shipped bundle: what the numbers in docs/results.md come from."""
