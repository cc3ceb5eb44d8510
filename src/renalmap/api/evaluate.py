"""Label maps against their references."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from renalmap.api.dicom_seg import DICOM_SEG_SUFFIX
from renalmap.api.overview import check_png_name
from renalmap.dataset.cases import Case, read_mask
from renalmap.dataset.layouts import KITS_MASKS, kits_folder, nifti_files, read_by, read_dataset
from renalmap.errors import DatasetError, InputError, PathMissingError
from renalmap.evaluation import (
    Score,
    check_surfaces_available,
    evaluate_case,
    score_kits23,
    scores_to_csv,
)
from renalmap.imaging import Orientation
from renalmap.imaging.dicom_seg.writing import DICOM_SUFFIX
from renalmap.imaging.files import check_writable, write_text_atomically
from renalmap.imaging.nifti import scan_name
from renalmap.progress import Progress
from renalmap.report import check_charts_available, draw_dice_against_volume

Pair = tuple[str, Case, Case]
"""A case's name, its prediction and its reference."""


@dataclass(frozen=True)
class Scoring:
    """How label maps are scored, and what is written.

    Attributes:
        protocol: `kits19`, KiTS19's rules and plain ones; or `kits23`, Dice and surface Dice of three nested
            classes.
        surface: whether to compute surface distances, which take most of the time.
        csv: write the cases here as CSV; an existing file is replaced.
        plot: draw Dice against tumour volume here as PNG; an existing file is replaced.
        orientation: which of sform and qform counts in NIfTI files where they contradict each other.
    """

    protocol: Literal["kits19", "kits23"] = "kits19"
    surface: bool = True
    csv: Path | None = None
    plot: Path | None = None
    orientation: Orientation | None = None

    def check(self, made: Path | None = None) -> None:
        """Check before the work whether everything requested can be computed and written.

        Args:
            made: a folder that will be made before these are written.

        Raises:
            InputError: an output has no folder, or the plot's name does not end in .png.
            MissingDependencyError: a package that draws plots or computes surface distances is not installed.
        """
        if self.surface:
            check_surfaces_available()
        for path in (self.csv, self.plot):
            if path is not None and path.parent != made:
                check_writable(path, overwrite=True)
        if self.plot is not None:
            check_png_name(self.plot)
            check_charts_available()


def evaluate(
    predictions: Path,
    reference: Path,
    scoring: Scoring = Scoring(),
    progress: Progress = lambda *_: None,
) -> list[Score]:
    """Score label maps against their references, in 3D.

    Args:
        predictions: a label map or a folder of them, as `find_pairs` takes them.
        reference: likewise.
        scoring: by which rules, and what to write.
        progress: called after every case.

    Returns:
        A `CaseScore` for each prediction, or by KiTS23's rules a `Kits23Score`, in the order of their names.

    Raises:
        InputError: a label map cannot be read or has no reference, two grids differ, or an output cannot be
            written; the last is checked before the work begins.
        MissingDependencyError: something requested needs a package that is not installed; checked equally early.
    """
    scoring.check()
    return score_pairs(find_pairs(predictions, reference), scoring, progress)


def score_pairs(pairs: Sequence[Pair], scoring: Scoring, progress: Progress) -> list[Score]:
    """Score pairs whose scoring was checked; one score per pair, in their order."""
    score = score_kits23 if scoring.protocol == "kits23" else evaluate_case
    scores: list[Score] = []
    for done, (case, *both) in enumerate(pairs, start=1):
        predicted, expected = map(read_mask, read_by(both, scoring.orientation))
        scores.append(score(predicted, expected, surface=scoring.surface, case=case))
        progress(f"scored {case}", done, len(pairs))
    if scoring.csv is not None and scores:
        write_text_atomically(scoring.csv, scores_to_csv(scores))
    if scoring.plot is not None and scores:
        draw_dice_against_volume(scores, scoring.plot)
    return scores


def find_pairs(predictions: Path, reference: Path) -> list[Pair]:
    """Find each prediction's reference.

    Args:
        predictions: a NIfTI file or DICOM SEG, or a folder of `<case>_seg.nii.gz`, `<case>_seg.dcm`,
            `<case>.nii.gz` or KiTS's `prediction_XXXXX.nii.gz`. Beside `<case>_seg.nii.gz`, `<case>.nii.gz` is
            taken to be the scan.
        reference: a NIfTI file, or a folder of `<case>.nii.gz`, `<case>_seg.nii.gz` or
            `<case>_kidney.nii.gz`, or one in the layout of KiTS19, KiTS21, KiTS23 or nnU-Net. References
            without a prediction are left out.

    Returns:
        In the order of the cases' names.

    Raises:
        InputError: a prediction has no reference, or nothing was found.
    """
    for path in (predictions, reference):
        if not path.exists():
            raise PathMissingError("nothing to evaluate", where=path)
    if predictions.is_file() and reference.is_file():
        name = case_name(predictions)
        return [(name, _case(name, predictions), _case(name, reference))]
    if predictions.is_file() or reference.is_file():
        raise InputError("give two files or two folders", where=predictions, got="one of each")
    found, expected = find_label_maps(predictions), find_label_maps(reference)
    missing = sorted(found.keys() - expected.keys())
    if missing or not found:
        raise DatasetError(
            "predictions without a reference" if missing else "there are no predictions",
            where=reference if missing else predictions,
            got=", ".join(missing[:5]) or "no .nii, .nii.gz or _seg.dcm file",
            expected="a reference of the same name for every prediction",
        )
    return [(case, found[case], expected[case]) for case in sorted(found)]


def _case(name: str, mask: Path) -> Case:
    return Case(name, name, mask=mask)


def find_label_maps(folder: Path) -> dict[str, Case]:
    """The label maps in a folder, by case: a data set's, or files named after their cases.

    Raises:
        DatasetError: two label maps belong to one case, or a data set's layout is broken.
    """
    if (folder / "labelsTr").is_dir() or folder.name == "labelsTr":
        dataset = read_dataset(folder.parent if folder.name == "labelsTr" else folder)
        return {_plain(case.case_id): case for case in dataset.cases if case.mask is not None}
    root = kits_folder(folder)
    by_case: dict[str, list[Path]] = {}
    segs = root.glob(f"[!.]*{DICOM_SEG_SUFFIX}")
    for path in sorted([*nifti_files(root), *segs, *_kits_masks(root)]):
        if not scan_name(path).endswith("_probability"):
            by_case.setdefault(case_name(path), []).append(path)
    maps = {}
    for case, paths in by_case.items():
        # `a.nii.gz` beside `a_seg.nii.gz` is the scan.
        marked = [path for path in paths if _stem(path) != case] or paths
        if len(marked) > 1:
            raise DatasetError(
                "two label maps of one case",
                where=folder,
                got=" and ".join(path.name for path in marked),
                hint="Keep one of them in the folder",
            )
        maps[case] = _case(case, marked[0])
    return maps


def _kits_masks(root: Path) -> Iterator[Path]:
    """In each folder the first mask that KiTS has a name for."""
    for folder in root.iterdir():
        masks = [folder / name for name in KITS_MASKS if (folder / name).is_file()]
        yield from masks[:1]


def case_name(path: Path) -> str:
    """A label map's case: its name without the part that marks it as a label map; for KiTS, that of its folder."""
    if path.name in KITS_MASKS:
        return path.absolute().parent.name
    return _plain(_stem(path))


def _stem(path: Path) -> str:
    return path.stem if path.suffix.lower() == DICOM_SUFFIX else scan_name(path)


def _plain(name: str) -> str:
    return re.sub(r"^prediction_", "case_", re.sub(r"_(seg|kidney)$", "", name))
