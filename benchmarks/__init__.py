"""What RenalMap costs in time, memory and disk: `make bench`. How to read it: benchmarks/README.md."""
