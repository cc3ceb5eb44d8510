"""Network architectures: PyTorch modules without I/O."""
