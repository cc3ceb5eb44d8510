"""DICOM SEG: segmentations as hospitals' archives keep them, written and read."""
