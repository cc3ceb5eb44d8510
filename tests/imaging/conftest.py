"""Real DICOM files, built in the test's own folder."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

from renalmap.imaging import DicomSource, Volume

SERIES_UID = generate_uid(entropy_srcs=["series"])
STUDY_UID = generate_uid(entropy_srcs=["study"])
FRAME_UID = generate_uid(entropy_srcs=["frame"])

WriteSlice = Callable[..., Path]
WriteSeries = Callable[..., Path]


@pytest.fixture
def write_slice() -> WriteSlice:
    """A function that writes one uncompressed CT slice; keywords override or (None) remove tags."""
    return _write_slice


@pytest.fixture
def write_series(tmp_path: Path) -> WriteSeries:
    """A function that writes slices at the given heights, each filled with its height, into one folder."""

    def write(
        heights_mm: Sequence[float], name: str = "slice", folder: str = "series", **tags: Any
    ) -> Path:
        for number, height_mm in enumerate(heights_mm):
            pixels = np.full((4, 6), round(height_mm), dtype=np.int16)
            _write_slice(tmp_path / folder / f"{name}{number:03}.dcm", height_mm, pixels, **tags)
        return tmp_path / folder

    return write


@pytest.fixture
def pack() -> Callable[[Path], Path]:
    """A function that packs a folder into a `.zip` beside it."""

    def packed(folder: Path) -> Path:
        target = folder.with_name(f"{folder.name}.zip")
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder.parent))
        return target

    return packed


def source_of(volume: Volume) -> DicomSource:
    """The DICOM objects that a volume was read from, of which there must be some."""
    assert volume.source is not None
    return volume.source


def _write_slice(
    path: Path,
    height_mm: float,
    pixels: np.ndarray[Any, Any] | None = None,
    **tags: Any,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values: Any = np.full((4, 6), -1000, dtype=np.int16) if pixels is None else pixels
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    defaults = {
        "Modality": "CT",
        "StudyInstanceUID": STUDY_UID,
        "SeriesInstanceUID": SERIES_UID,
        "FrameOfReferenceUID": FRAME_UID,
        "SeriesDescription": "Abdomen",
        "AcquisitionNumber": 1,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": [-10.0, -20.0, height_mm],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.5, 0.75],
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
        "Rows": values.shape[0],
        "Columns": values.shape[1],
        "BitsAllocated": values.dtype.itemsize * 8,
        "BitsStored": values.dtype.itemsize * 8,
        "HighBit": values.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(values.dtype.kind == "i"),
        "SamplesPerPixel": 1 if values.ndim == 2 else values.shape[-1],
        "PhotometricInterpretation": "MONOCHROME2" if values.ndim == 2 else "RGB",
        "PixelData": values.tobytes(),
    }
    if values.ndim == 3:
        defaults["PlanarConfiguration"] = 0
    for name, value in (defaults | tags).items():
        if value is not None:
            setattr(dataset, name, value)
    dataset["PixelData"].VR = "OW" if values.dtype.itemsize == 2 else "OB"
    dataset.save_as(path, enforce_file_format=True)
    return path


def make_big_endian(path: Path) -> None:
    """Write a slice of 16 bits anew, in the retired explicit VR big endian."""
    little = pydicom.dcmread(path)
    big = Dataset()
    for element in little:
        big.add_new(element.tag, element.VR, element.value)
    big.PixelData = np.frombuffer(little.PixelData, "<u2").astype(">u2").tobytes()
    big["PixelData"].VR = "OW"
    big.file_meta = little.file_meta
    big.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    big.save_as(path, enforce_file_format=True)
