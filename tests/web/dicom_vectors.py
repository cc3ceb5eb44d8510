"""DICOM series for the page's TypeScript: stored and arranged in every way, and what Python reads of them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)
from tests.imaging.conftest import _write_slice, make_big_endian

from renalmap.errors import InputError
from renalmap.imaging import read_volume

Change = Callable[[Dataset], None]
HEIGHTS_MM: Final = (0.0, 3.0, 6.0, 9.0)


def dicom_cases(folder: Path, volume_json: Callable[[Any], Any]) -> Iterator[dict[str, Any]]:
    """Write each series below `folder`; what Python reads of it, or says about it."""
    for number, make in enumerate(_SERIES):
        place = folder / f"dicom{number}"
        place.mkdir(parents=True, exist_ok=True)
        path = make(place)
        files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
        case: dict[str, Any] = {"files": [str(each.relative_to(folder)) for each in files]}
        try:
            volume = read_volume(path)
        except InputError as error:
            yield case | {"error": error.what}
            continue
        source = volume.geometry.source
        yield case | {
            "volume": volume_json(volume),
            "axes": source.axes,
            "flips": source.flips,
            "affine": source.affine.tolist(),
            "notes": len(volume.notes),
        }


def write_series(
    folder: Path,
    heights_mm: Sequence[float] = HEIGHTS_MM,
    change: Change = lambda _: None,
    name: str = "slice",
    **tags: Any,
) -> Path:
    """Slices of 12-bit values with 1024 added, at these heights; `change` alters each before it is saved."""
    for number, height_mm in enumerate(heights_mm):
        path = _write_slice(
            folder / f"{name}{number:02}.dcm",
            height_mm,
            slice_of(number),
            **{"RescaleIntercept": -1024, "BitsStored": 12, "HighBit": 11} | tags,
        )
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path, enforce_file_format=True)
    return folder


def slice_of(number: int) -> NDArray[np.uint16]:
    """Raw values that no lossy code would keep."""
    values = np.random.default_rng(number).integers(0, 2600, (9, 13)).astype(np.uint16)
    values[2:5, 3:9] = 1064 + number  # runs, for RLE
    return values


def packed(folder: Path) -> Path:
    """A zip of a folder."""
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return target


def _stored_as(syntax: UID) -> Change:
    def change(dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax

    return change


def _compressed(syntax: str) -> Change:
    return lambda dataset: dataset.compress(syntax, generate_instance_uid=False)


def _big_endian(folder: Path) -> Path:
    for path in sorted(write_series(folder).iterdir()):
        make_big_endian(path)
    return folder


def _signed(dataset: Dataset) -> None:
    raw = (dataset.pixel_array.astype(np.int32) - 1024).astype(np.int16)
    dataset.PixelData = ((raw.view(np.uint16) & 0x0FFF) | 0x3000).tobytes()  # an overlay above
    dataset.PixelRepresentation, dataset.RescaleIntercept = 1, 0


def _padded(dataset: Dataset) -> None:
    raw = dataset.pixel_array.copy()
    raw[0] = 4000
    dataset.PixelData = raw.tobytes()
    dataset.add_new("PixelPaddingValue", "US", 4000)


def _with_company(folder: Path) -> Path:
    """A scan with its scout, a sharper reconstruction and a file of another kind."""
    write_series(folder / "scan")
    scout: dict[str, Any] = {
        "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
        "SeriesInstanceUID": generate_uid(),
    }
    write_series(folder / "scout", (0.0,), name="scout", **scout)
    sharp: dict[str, Any] = {"ConvolutionKernel": "B70f", "SeriesInstanceUID": generate_uid()}
    write_series(folder / "sharp", (*HEIGHTS_MM, 12.0), name="sharp", **sharp)
    (folder / "README.txt").write_text("exported")
    return folder


def _two_alike(folder: Path) -> Path:
    write_series(folder / "one")
    return write_series(folder / "two", name="other", SeriesInstanceUID=generate_uid()).parent


def _tilted(folder: Path) -> Path:
    for number, height_mm in enumerate(HEIGHTS_MM):
        place = [-10.0, -20.0 + 0.3 * height_mm, height_mm]
        write_series(folder, (height_mm,), name=f"slice{number}", ImagePositionPatient=place)
    return folder


def _truncated(folder: Path) -> Path:
    last = write_series(folder) / "slice03.dcm"
    last.write_bytes(last.read_bytes()[:-40])
    return folder


def _partly_scaled(folder: Path) -> Path:
    write_series(folder, HEIGHTS_MM[:2])
    return write_series(folder, (6.0, 9.0), name="unscaled", RescaleSlope=None, RescaleIntercept=None)


def _several_names(folder: Path) -> Path:
    write_series(folder, HEIGHTS_MM[:2], PatientID="1", ConvolutionKernel="B30f")
    return write_series(folder, (6.0, 9.0), name="other", PatientID="2", ConvolutionKernel="B40f")


SAGITTAL: Final = [0.0, 1.0, 0.0, 0.0, 0.0, -1.0]
_SERIES: Final[tuple[Callable[[Path], Path], ...]] = (
    write_series,
    lambda place: write_series(place, HEIGHTS_MM[::-1]),
    lambda place: write_series(place, ImageOrientationPatient=[-1, 0, 0, 0, -1, 0]),
    lambda place: write_series(place, change=_signed),
    lambda place: write_series(place, change=_padded),
    lambda place: write_series(place, change=_stored_as(ImplicitVRLittleEndian)),
    lambda place: write_series(place, change=_stored_as(DeflatedExplicitVRLittleEndian)),
    lambda place: write_series(place, change=_compressed(RLELossless)),
    lambda place: packed(write_series(place / "series", change=_compressed(RLELossless))),
    _big_endian,
    _with_company,
    lambda place: write_series(place, RescaleSlope=None, RescaleIntercept=None),
    lambda place: write_series(place, RescaleSlope=1.5),
    _two_alike,
    _partly_scaled,
    _several_names,
    _tilted,
    _truncated,
    lambda place: write_series(place, (0.0, 3.0, 9.0, 12.0, 15.0)),
    lambda place: write_series(place, (0.0, 3.0, 7.4, 9.0)),
    lambda place: write_series(place, (0.0, 3.0, 3.0)),
    lambda place: write_series(place, ImageOrientationPatient=SAGITTAL),
    lambda place: write_series(place, Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4"),
)
