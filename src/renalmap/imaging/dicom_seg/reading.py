"""Reading a DICOM SEG back as a label map, RenalMap's own and others', with pydicom alone.

A SEG stores a frame for a segment and a slice only where there is something of it. Slices without any are
background (PS3.3 C.8.20.2), but they belong to the grid: what touches its first or last slice is truncated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from renalmap.errors import (
    DimensionError,
    LabelError,
    MissingSliceError,
    MixedSeriesError,
    TruncatedFileError,
    UnreadableImageError,
    named_errors,
)
from renalmap.imaging.budget import check_budget
from renalmap.imaging.dicom.pixels import check_claims
from renalmap.imaging.dicom_files.bounds import without_values
from renalmap.imaging.dicom_files.files import DicomFile, quiet_pydicom
from renalmap.imaging.dicom_seg.codes import KIDNEY_CODE, LABEL_OF_TYPE
from renalmap.imaging.orientation import LPS_TO_RAS, build_geometry
from renalmap.imaging.volume import Geometry, LabelMap
from renalmap.labels import CYST, KIDNEY, TUMOUR

if TYPE_CHECKING:
    from pydicom import Dataset

logger = logging.getLogger(__name__)

_SEG_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.66.4"
_LABELMAP_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.66.7"
_STORAGE: Final = frozenset({_SEG_STORAGE, _LABELMAP_STORAGE})
_PAINTED: Final = (KIDNEY, CYST, TUMOUR)
"""Where segments overlap, the later of these wins: others' kidneys include their tumours."""
_LARGEST_NUMBER: Final = 255
_MOST_SLICES: Final = 4_000
"""Two metres of half a millimetre each: a file of a few kilobytes must not request a grid of arbitrary size."""
_OFF_STEP: Final = 0.2
_SAME_ANGLE: Final = 1e-3


@dataclass(frozen=True, eq=False)
class _Frame:
    """Where a frame lies, what it shows and what it was made from.

    Attributes:
        position_mm: (3,), centre of the first pixel, DICOM's LPS axes.
        orientation: (2, 3), unit vectors along a row and along a column, LPS.
        spacing_mm: between (rows, columns).
        segment: its segment's number; None in a label map, which shows all of them.
        source_uid: the instance it was made from; None if it names none or several.
    """

    position_mm: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    segment: int | None
    source_uid: str | None

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector across the frame, LPS."""
        return np.cross(self.orientation[0], self.orientation[1])


def read_dicom_seg(path: Path) -> LabelMap:
    """Read kidneys, tumours and cysts from a DICOM SEG of type BINARY or LABELMAP.

    Segments are recognised by their SNOMED CT codes, whatever their side: kidneys (64033007); masses, neoplasms
    and lesions; cysts. Segments of other things, and lesions of other organs, are left out and logged.

    Args:
        path: the file.

    Returns:
        uint8 labels, axes (z, y, x). The grid is that of the scan if the file lists its slices in order,
        as RenalMap's do; otherwise it ends with the first and the last frame.

    Raises:
        UnreadableImageError: no DICOM file, or no segmentation.
        TruncatedFileError: the pixels cannot be decoded.
        LabelError: no segment is a kidney, a tumour or a cyst, or it holds fractions.
        MixedSeriesError, MissingSliceError: its frames are not a stack.
        DimensionError, AffineError: as `build_geometry`.
    """
    with _named_errors(path):
        dataset = _read(path)
        labels_of = _labels_of_segments(dataset, path)
        return _painted(dataset, labels_of, labels_of, path)


def read_segments(path: Path) -> tuple[LabelMap, Dataset]:
    """Read which segment marks each voxel that `read_dicom_seg` labels.

    Returns:
        Segment numbers in place of labels; and the file's content.

    Raises:
        LabelError: also if a segment's number is above 255.
        InputError: otherwise as `read_dicom_seg`.
    """
    with _named_errors(path):
        dataset = _read(path)
        labels_of = _labels_of_segments(dataset, path)
        if max(labels_of) > _LARGEST_NUMBER:
            raise LabelError(
                "the DICOM SEG numbers its segments too high",
                where=path,
                got=str(max(labels_of)),
                expected=f"at most {_LARGEST_NUMBER}",
            )
        return _painted(dataset, {number: number for number in labels_of}, labels_of, path), dataset


def is_dicom_seg(path: Path) -> bool:
    """Whether a DICOM file is a segmentation, by its header."""
    with _named_errors(path):
        return DicomFile(path).read_header(["SOPClassUID"]).get("SOPClassUID") in _STORAGE


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Turn whatever pydicom and NumPy raise, at once or when a value is looked at, into one error."""
    with (
        quiet_pydicom(),
        np.errstate(over="raise", divide="raise", invalid="raise"),
        named_errors(
            lambda got: UnreadableImageError(
                "the DICOM SEG cannot be read", where=path, got=without_values(got)
            )
        ),
    ):
        yield


def _painted(
    dataset: Any, values_of: Mapping[int, int], labels_of: Mapping[int, int], path: Path
) -> LabelMap:
    """A map of some value for each segment; where segments overlap, their labels decide."""
    frames = _frames(dataset, path)
    geometry, slots = _grid(dataset, frames, path)
    check_budget(2 * prod(geometry.shape), path)
    values = np.zeros(geometry.shape, np.uint8)
    stored = geometry.source.from_canonical(values)
    rank = np.zeros(256, np.uint8)
    for number, label in labels_of.items():
        rank[values_of[number]] = _PAINTED.index(label) + 1
    for index, pixels in _decoded(dataset, path):
        segment = frames[index].segment
        found = (
            _translated(pixels, values_of)
            if segment is None
            else np.where(pixels, values_of.get(segment, 0), 0).astype(np.uint8)
        )
        plane = stored[:, :, slots[index]]
        plane[...] = np.where(rank[found.T] > rank[plane], found.T, plane)
    return LabelMap(values, geometry, path.stem)


def _read(path: Path) -> Any:
    try:
        dataset = DicomFile(path).read_dataset()
    except TruncatedFileError as error:
        raise UnreadableImageError(
            "the DICOM file cannot be read", where=path, got=(error.got or "").split(".")[0]
        ) from error
    if dataset.get("SOPClassUID") not in _STORAGE:
        raise UnreadableImageError(
            "a label map must be a DICOM SEG or a NIfTI file",
            where=path,
            got=f"DICOM of another kind, modality {dataset.get('Modality') or 'unknown'}",
            hint="For a scan in DICOM give the folder, not one of its files",
        )
    if dataset.get("SegmentationType") == "FRACTIONAL":
        raise LabelError(
            "the DICOM SEG holds fractions, not labels",
            where=path,
            got="SegmentationType FRACTIONAL",
            expected="BINARY or LABELMAP",
        )
    return dataset


def _labels_of_segments(dataset: Any, path: Path) -> dict[int, int]:
    """Our label of every segment that is a kidney, or a lesion in one or of no named organ."""
    labels, others = {}, []
    for segment in dataset.get("SegmentSequence") or ():
        kinds = [_snomed(item) for item in segment.get("SegmentedPropertyTypeCodeSequence") or ()]
        kind = kinds[0] if kinds else ""
        regions = {_snomed(item) for item in segment.get("AnatomicRegionSequence") or ()}
        label = LABEL_OF_TYPE.get(kind)
        if label is None or (label != KIDNEY and regions and KIDNEY_CODE.value not in regions):
            others.append(str(segment.get("SegmentLabel") or segment.SegmentNumber))
        else:
            labels[int(segment.SegmentNumber)] = label
    if not labels:
        raise LabelError(
            "the DICOM SEG marks neither kidneys nor tumours",
            where=path,
            got=", ".join(others[:5]) or "no segments",
            expected="segments coded as Kidney (SNOMED CT 64033007), Mass (4147007) or Neoplasm (108369006)",
        )
    if others:
        logger.info("%s: left out %s", path, ", ".join(others))
    return labels


def _snomed(item: Any) -> str:
    """Which code of ours an item means, be it in SNOMED CT or, in files before 2018, SNOMED RT; else empty."""
    from pydicom.sr.coding import Code  # noqa: PLC0415  (slow import)

    said = Code(str(item.get("CodeValue") or ""), str(item.get("CodingSchemeDesignator") or ""), "")
    return next((known for known in LABEL_OF_TYPE if Code(known, "SCT", "") == said), "")


def _frames(dataset: Any, path: Path) -> list[_Frame]:
    trouble = None
    with named_errors(lambda got: _placeless(path, got)):
        shared = dataset.SharedFunctionalGroupsSequence[0]
        frames = [_frame(dataset, own, shared) for own in dataset.PerFrameFunctionalGroupsSequence]
    if len(frames) != int(dataset.NumberOfFrames):
        trouble = f"{len(frames)} positions for {dataset.NumberOfFrames} frames"
    if not all(np.isfinite(each.position_mm).all() for each in frames):
        trouble = "a position that is not a number"
    if trouble is not None:
        raise _placeless(path, trouble)
    return frames


def _placeless(path: Path, got: str) -> UnreadableImageError:
    return UnreadableImageError(
        "the DICOM SEG does not say where its frames lie", where=path, got=without_values(got)
    )


def _frame(dataset: Any, own: Any, shared: Any) -> _Frame:
    row_mm, column_mm = _group("PixelMeasuresSequence", own, shared).PixelSpacing
    orientation = _group("PlaneOrientationSequence", own, shared).ImageOrientationPatient
    position = _group("PlanePositionSequence", own, shared).ImagePositionPatient
    segment = None
    if dataset.SOPClassUID != _LABELMAP_STORAGE:
        identified = _group("SegmentIdentificationSequence", own, shared)
        segment = int(identified.ReferencedSegmentNumber)
    sources = [
        str(source.ReferencedSOPInstanceUID)
        for derivation in own.get("DerivationImageSequence") or ()
        for source in derivation.get("SourceImageSequence") or ()
    ]
    return _Frame(
        position_mm=np.array([float(value) for value in position]),
        orientation=np.array([float(value) for value in orientation]).reshape(2, 3),
        spacing_mm=(float(row_mm), float(column_mm)),
        segment=segment,
        source_uid=sources[0] if len(sources) == 1 else None,
    )


def _group(name: str, own: Any, shared: Any) -> Any:
    """A frame's item of a functional group: its own, or the one shared by all frames."""
    return (own[name] if name in own else shared[name]).value[0]


def _grid(dataset: Any, frames: Sequence[_Frame], path: Path) -> tuple[Geometry, list[int]]:
    """The grid from its lowest to its highest slice along the frames' normal, and each frame's slice."""
    first = frames[0]
    for each in frames:
        if not np.allclose(each.orientation, first.orientation, rtol=0.0, atol=_SAME_ANGLE):
            raise MixedSeriesError("the frames of the DICOM SEG lie at an angle", where=path)
    heights_mm = np.array([each.position_mm @ first.normal for each in frames])
    step_mm = _step_mm(dataset, heights_mm, path)
    exact = (heights_mm - heights_mm.min()) / step_mm
    if exact.max() > _MOST_SLICES:
        raise MissingSliceError(
            "the frames of the DICOM SEG lie too far apart to be of one scan",
            where=path,
            got=f"{np.ptp(heights_mm):.0f} mm, in steps of {step_mm:g} mm",
            expected=f"at most {_MOST_SLICES} slices",
        )
    slots = np.rint(exact).astype(int)
    if np.abs(exact - slots).max() > _OFF_STEP:
        raise MissingSliceError(
            "the frames of the DICOM SEG are not evenly spaced",
            where=path,
            got=f"a frame {np.abs(exact - slots).max() * step_mm:.2f} mm off",
            expected=f"one every {step_mm:.2f} mm",
        )
    below, above = _extent_beyond(dataset, frames, slots)
    lowest, highest = frames[int(slots.argmin())], frames[int(slots.argmax())]
    rise = int(slots.max())
    per_slice = first.normal * step_mm
    if rise:
        per_slice = (highest.position_mm - lowest.position_mm) / rise
    lps = np.eye(4)
    lps[:3, 0] = first.orientation[0] * first.spacing_mm[1]
    lps[:3, 1] = first.orientation[1] * first.spacing_mm[0]
    lps[:3, 2] = per_slice
    lps[:3, 3] = lowest.position_mm - below * per_slice
    shape = (int(dataset.Columns), int(dataset.Rows), below + rise + 1 + above)
    geometry = build_geometry(shape, LPS_TO_RAS @ lps, where=path)
    return geometry, (slots + below).tolist()


def _step_mm(dataset: Any, heights_mm: NDArray[np.float64], path: Path) -> float:
    """The distance of slices: what the file says, or the least distance of two frames."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    own = dataset.PerFrameFunctionalGroupsSequence[0]
    measures = _group("PixelMeasuresSequence", own, shared)
    apart_mm = np.diff(np.unique(heights_mm.round(3)))
    said = measures.get("SpacingBetweenSlices")
    if said:
        return abs(float(said))
    if apart_mm.size:
        return float(apart_mm.min())
    if measures.get("SliceThickness"):
        return float(measures.SliceThickness)
    raise DimensionError("the DICOM SEG shows one slice and does not give the slice spacing", where=path)


def _extent_beyond(dataset: Any, frames: Sequence[_Frame], slots: NDArray[np.int_]) -> tuple[int, int]:
    """How many slices of the scan lie below the lowest frame and above the highest.

    Told by the list of referenced instances, if the frames' stand in it in order of their height, each as
    far from the other as they are apart; otherwise none.
    """
    series: Sequence[Any] = dataset.get("ReferencedSeriesSequence") or ()
    instances = series[0].get("ReferencedInstanceSequence") or () if len(series) == 1 else ()
    listed = {str(each.ReferencedSOPInstanceUID): index for index, each in enumerate(instances)}
    places = [listed[each.source_uid] for each in frames if each.source_uid in listed]
    if len(places) == len(frames) and slots.max() > 0:
        below = [place - slot for place, slot in zip(places, slots.tolist(), strict=True)]
        if min(below) == max(below):
            return below[0], len(listed) - below[0] - int(slots.max()) - 1
    logger.info("the DICOM SEG does not say how far its scan extends beyond its frames")
    return 0, 0


def _decoded(dataset: Any, path: Path) -> Iterator[tuple[int, NDArray[Any]]]:
    """Each frame's index and pixels (rows, columns), one after the other."""
    from pydicom.pixels.utils import iter_pixels  # noqa: PLC0415  (slow import)

    with named_errors(
        lambda got: TruncatedFileError(
            "the pixels of the DICOM SEG cannot be decoded; the file is truncated or damaged",
            where=path,
            got=got,
            hint="Copy or export it again",
        )
    ):
        check_claims(dataset, DicomFile(path))
        bits = dataset.BitsAllocated == 1 and not dataset.file_meta.TransferSyntaxUID.is_encapsulated
        yield from enumerate(_bit_frames(dataset) if bits else iter_pixels(dataset))


def _bit_frames(dataset: Any) -> Iterator[NDArray[np.uint8]]:
    """Frames of single bits; one may end, and the next begin, within a byte (PS3.5 8.1.1).

    pydicom's iterator takes frames of whole bytes only, and its array of all frames is eight times the file.
    """
    packed = np.frombuffer(dataset.PixelData, np.uint8)
    size = int(dataset.Rows) * int(dataset.Columns)
    for index in range(int(dataset.NumberOfFrames)):
        first, skipped = divmod(index * size, 8)
        bits = np.unpackbits(packed[first : -(-(index + 1) * size // 8)], bitorder="little")
        yield bits[skipped : skipped + size].reshape(dataset.Rows, dataset.Columns)


def _translated(pixels: NDArray[Any], values_of: Mapping[int, int]) -> NDArray[np.uint8]:
    """A label map's pixels, which are segment numbers, as the segments' values."""
    table: NDArray[np.uint8] = np.zeros(int(pixels.max()) + 1, np.uint8)
    for number, value in values_of.items():
        if number < table.size:
            table[number] = value
    found: NDArray[np.uint8] = table[pixels]
    return found
