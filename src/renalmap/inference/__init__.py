"""From a scan to a label map with a bundle; ONNX Runtime, no torch."""
