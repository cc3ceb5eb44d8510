"""What a folder of DICOM files holds: which slices, of which series and acquisition. Headers only."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import (
    AmbiguousAcquisitionError,
    ColourImageError,
    MixedSeriesError,
    NoImagesError,
    UnreadableImageError,
)

if TYPE_CHECKING:
    from pydicom import Dataset

logger = logging.getLogger(__name__)

_TAGS: Final = (
    *("SeriesInstanceUID", "SeriesDescription", "AcquisitionNumber", "ImageType", "FrameOfReferenceUID"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PixelSpacing", "SliceThickness"),
    *("ImagePositionPatient", "ImageOrientationPatient"),
)


@dataclass(frozen=True, eq=False)
class SliceHeader:
    """One DICOM slice, without its pixels.

    Attributes:
        path: its file.
        series_uid: SeriesInstanceUID, empty if it was stripped.
        description: SeriesDescription, or empty.
        acquisition: AcquisitionNumber, or None.
        frame_of_reference_uid: what its position refers to, or empty.
        rows_columns: pixels along (rows, columns).
        spacing_mm: between (rows, columns).
        thickness_mm: SliceThickness, or None.
        position_mm: (3,), centre of the first pixel, DICOM's LPS axes.
        orientation: (2, 3), unit vectors along a row and along a column, LPS.
        samples_per_pixel: 1, or 3 for colour.
    """

    path: Path
    series_uid: str
    description: str
    acquisition: int | None
    frame_of_reference_uid: str
    rows_columns: tuple[int, int]
    spacing_mm: tuple[float, float]
    thickness_mm: float | None
    position_mm: NDArray[np.float64]
    orientation: NDArray[np.float64]
    samples_per_pixel: int

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector across the slice, LPS."""
        return np.cross(self.orientation[0], self.orientation[1])

    @property
    def height_mm(self) -> float:
        """How far along its normal the slice lies."""
        return float(self.position_mm @ self.normal)


@dataclass(frozen=True)
class AcquisitionInfo:
    """One acquisition in a folder, as a user chooses among them.

    Attributes:
        series_uid: SeriesInstanceUID, empty if it was stripped.
        number: AcquisitionNumber, or None.
        slices: how many slices it has.
        spacing_mm: along (across slices, rows, columns); the first is NaN for a single slice.
        description: SeriesDescription, or empty.
    """

    series_uid: str
    number: int | None
    slices: int
    spacing_mm: tuple[float, float, float]
    description: str

    def __str__(self) -> str:
        number = "without a number" if self.number is None else str(self.number)
        across, rows, columns = self.spacing_mm
        text = (
            f"acquisition {number}: {self.slices} slices, {across:.3g} x {rows:.3g} x {columns:.3g} mm"
        )
        return f"{text}, {self.description!r}" if self.description else text


def list_acquisitions(folder: Path) -> tuple[AcquisitionInfo, ...]:
    """List what a DICOM folder holds, by series and acquisition number.

    Raises:
        NoImagesError: the folder holds no DICOM slice.
        ColourImageError, UnreadableImageError: as `read_slice_headers`.
    """
    return _describe(read_slice_headers(folder))


def read_slice_headers(folder: Path) -> tuple[SliceHeader, ...]:
    """Read the headers of all slices that lie directly in a folder, in the order of their names.

    Files that are no DICOM, DICOM files that are no image (reports, structures), images without a
    place in the patient (screenshots), and scouts beside real slices are skipped and logged.

    Raises:
        NoImagesError: nothing is left.
        ColourImageError: nothing is left, and what was skipped is in colour.
        UnreadableImageError: nothing is left but multi-frame images.
    """
    datasets = {path: _read_header(path) for path in sorted(folder.iterdir()) if path.is_file()}
    images = {path: each for path, each in datasets.items() if each is not None and each.get("Rows")}
    placed = {path: each for path, each in images.items() if _has_place(each)}
    slices = {path: each for path, each in placed.items() if not _is_scout(each)} or placed
    skipped = len(datasets) - len(slices)
    if not slices:
        _raise_no_slices(folder, list(images.values()))
    if skipped:
        logger.info("%s: skipped %d files that are no CT slices", folder, skipped)
    return tuple(_slice_header(path, each) for path, each in slices.items())


def choose_acquisition(
    slices: Sequence[SliceHeader], acquisition: int | None, folder: Path
) -> tuple[SliceHeader, ...]:
    """Keep the slices of one volume; never mix two.

    Several acquisition numbers are one volume if the stretches of the body that they cover do not
    overlap (some scanners count up with each turn of the tube). Otherwise one must be named.

    Args:
        slices: what the folder holds.
        acquisition: the AcquisitionNumber to take, or None.
        folder: for messages.

    Raises:
        MixedSeriesError: there are several series.
        AmbiguousAcquisitionError: several acquisitions overlap and none was named, or the one named
            is not there.
    """
    infos = _describe(slices)
    if len({info.series_uid for info in infos}) > 1:
        raise MixedSeriesError(
            "the folder holds several series",
            where=folder,
            got="; ".join(f"series {info.series_uid or 'without a UID'}, {info}" for info in infos),
            expected="one series",
            hint="Put each series into a folder of its own",
        )
    if acquisition is not None:
        chosen = tuple(each for each in slices if each.acquisition == acquisition)
        if chosen:
            return chosen
    elif len(infos) == 1 or not _overlap(slices):
        return tuple(slices)
    raise AmbiguousAcquisitionError(
        "the series holds several acquisitions of the same place"
        if acquisition is None
        else f"there is no acquisition {acquisition}",
        where=folder,
        got="; ".join(str(info) for info in infos),
        hint="Choose one with --acquisition NUMBER",
    )


def _overlap(slices: Sequence[SliceHeader]) -> bool:
    """Whether two acquisitions cover a common stretch along the normal."""
    normal = slices[0].normal
    heights: dict[int | None, list[float]] = {}
    for each in slices:
        heights.setdefault(each.acquisition, []).append(float(each.position_mm @ normal))
    stretches = sorted((min(values), max(values)) for values in heights.values())
    return any(later[0] <= earlier[1] for earlier, later in pairwise(stretches))


def _describe(slices: Sequence[SliceHeader]) -> tuple[AcquisitionInfo, ...]:
    groups: dict[tuple[str, int | None], list[SliceHeader]] = {}
    for each in slices:
        groups.setdefault((each.series_uid, each.acquisition), []).append(each)
    infos = []
    for (series_uid, number), members in groups.items():
        gaps = np.diff(sorted(each.height_mm for each in members))
        across_mm = float(np.median(gaps)) if len(gaps) else float("nan")
        infos.append(
            AcquisitionInfo(
                series_uid=series_uid,
                number=number,
                slices=len(members),
                spacing_mm=(across_mm, *members[0].spacing_mm),
                description=members[0].description,
            )
        )
    return tuple(infos)


def _read_header(path: Path) -> Dataset | None:
    """A file's tags, or None if it is no DICOM file."""
    from pydicom import dcmread  # noqa: PLC0415  (slow import)
    from pydicom.errors import InvalidDicomError  # noqa: PLC0415

    try:
        return dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except (InvalidDicomError, EOFError):
        logger.debug("%s: skipped, no DICOM file", path)
        return None


def _has_place(dataset: Dataset) -> bool:
    lengths = (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
    return all(len(dataset.get(tag) or ()) == length for tag, length in lengths)


def _is_scout(dataset: Dataset) -> bool:
    return "LOCALIZER" in (dataset.get("ImageType") or ())


def _raise_no_slices(folder: Path, images: list[Any]) -> None:
    if any(int(image.get("SamplesPerPixel") or 1) > 1 for image in images):
        raise _colour_error(folder, "DICOM images with several samples per pixel")
    if any(int(image.get("NumberOfFrames") or 1) > 1 for image in images):
        raise UnreadableImageError(
            "multi-frame DICOM is not read",
            where=folder,
            expected="one file per slice",
            hint="Convert it to NIfTI first, for example with dcm2niix",
        )
    kinds = Counter(path.suffix or "no suffix" for path in folder.iterdir())
    raise NoImagesError(
        "the folder holds no DICOM slice",
        where=folder,
        got=", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items())) or "an empty folder",
        expected="DICOM slices with a position in the patient, directly in this folder",
        hint="Give the folder that holds the slices themselves, or a NIfTI file",
    )


def _colour_error(where: Path, got: str) -> ColourImageError:
    return ColourImageError(
        "the image is in colour",
        where=where,
        got=got,
        expected="one number per pixel",
        hint="Give the CT itself, not a rendering of it",
    )


def _slice_header(path: Path, dataset: Any) -> SliceHeader:
    samples = int(dataset.get("SamplesPerPixel") or 1)
    if samples > 1:
        raise _colour_error(path, f"{samples} samples per pixel")
    number = dataset.get("AcquisitionNumber")
    thickness = dataset.get("SliceThickness")
    row_mm, column_mm = (float(value) for value in dataset.PixelSpacing)
    return SliceHeader(
        path=path,
        series_uid=str(dataset.get("SeriesInstanceUID") or ""),
        description=str(dataset.get("SeriesDescription") or ""),
        acquisition=None if number in (None, "") else int(number),
        frame_of_reference_uid=str(dataset.get("FrameOfReferenceUID") or ""),
        rows_columns=(int(dataset.Rows), int(dataset.Columns)),
        spacing_mm=(row_mm, column_mm),
        thickness_mm=float(thickness) if thickness else None,
        position_mm=np.array([float(value) for value in dataset.ImagePositionPatient]),
        orientation=np.array([float(value) for value in dataset.ImageOrientationPatient]).reshape(2, 3),
        samples_per_pixel=samples,
    )
