"""A scan as a DICOM series on disk, of a patient with a name."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def write_series(folder: Path, hu, spacing_mm=(3.0, 0.8, 0.8), **tags) -> Path:
    """Write a scan with axes (z, y, x) from the feet, the front and the patient's right."""
    folder.mkdir()
    study, own, frame = generate_uid(), generate_uid(), generate_uid()
    for z, plane in enumerate(hu):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
        values = {
            "PatientName": "Doe^Jane",
            "PatientID": "4711",
            "Modality": "CT",
            "StudyInstanceUID": study,
            "SeriesInstanceUID": own,
            "FrameOfReferenceUID": frame,
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "ImagePositionPatient": [-50.0, -70.0, 100.0 + spacing_mm[0] * z],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": list(spacing_mm[1:]),
            "RescaleSlope": 1,
            "RescaleIntercept": 0,
            "Rows": plane.shape[0],
            "Columns": plane.shape[1],
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 1,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "PixelData": plane.astype("<i2").tobytes(),
        }
        for name, value in (values | tags).items():
            setattr(dataset, name, value)
        dataset.save_as(folder / f"{z}.dcm", enforce_file_format=True)
    return folder
