"""DICOM structured reports: measurements as hospitals' archives keep them."""
