"""DICOM files as they lie, before anything is read into a volume: on disk, in archives, by a DICOMDIR."""
