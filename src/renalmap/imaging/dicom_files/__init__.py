"""DICOM files as they are stored, before anything is read into a volume: on disk, in archives, by a DICOMDIR."""
