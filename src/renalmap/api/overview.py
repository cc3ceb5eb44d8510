"""A scan with its segmentation as one picture."""

from __future__ import annotations

from pathlib import Path

from renalmap.dataset.cohort import short_name
from renalmap.errors import InputError
from renalmap.imaging import DicomChoice, read_label_map, read_volume
from renalmap.imaging.files import check_writable
from renalmap.report import draw_overview


def overview(scan: Path, segmentation: Path, out: Path, *, dicom: DicomChoice = DicomChoice()) -> None:
    """Draw a scan with its segmentation's outlines as a PNG: the paper's Fig. 6.

    Args:
        scan: as `read_volume` takes it.
        segmentation: its label map.
        out: the PNG to write.
        dicom: which series and acquisition of DICOM, and whether it was resampled; `orientation` also of the
            label map.

    Raises:
        InputError: either cannot be read, they are on different grids, or `out` has no folder.
    """
    check_png_name(out)
    check_writable(out, overwrite=True)
    volume, labels = read_volume(scan, dicom), read_label_map(segmentation, dicom.orientation)
    draw_overview(volume, labels, out, title=short_name(scan))


def check_png_name(path: Path) -> None:
    """Refuse a picture's name that is not a PNG file's.

    Raises:
        InputError: it is not.
    """
    if path.suffix.lower() != ".png":
        raise InputError(
            "the picture's name is not a PNG file's",
            where=path,
            got=path.suffix or "no suffix",
            expected="a name that ends in .png",
        )
