"""The demonstration: a synthetic CT, segmented by the bundled model and scored against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from renalmap.api.request import SegmentRequest
from renalmap.api.score import draw_scan_overview
from renalmap.api.segment import CaseReport, ScanProgress, segment_scans
from renalmap.evaluation import CaseScore, evaluate_case
from renalmap.imaging import read_label_map, write_volume
from renalmap.phantom import Lesion, PhantomConfig, make_phantom

DEMO_SEED = 19
DEMO_PHANTOM = PhantomConfig(
    shape_zyx=(64, 512, 512),
    spacing_mm_zyx=(3.0, 0.78, 0.78),
    phase="portal",
    lesions=(
        Lesion(kind="tumour", diameter_mm=45.0, side="left", exophytic=0.5),
        Lesion(kind="cyst", diameter_mm=22.0, side="right"),
    ),
)


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration made.

    Attributes:
        scan, segmentation, overview: the files.
        report: of the segmentation.
        score: against the phantom's truth.
    """

    scan: Path
    segmentation: Path
    overview: Path
    report: CaseReport
    score: CaseScore


def run_demo(
    out: Path, *, seed: int = DEMO_SEED, progress: ScanProgress = lambda *_: None
) -> DemoResult:
    """Make a phantom, segment it, score it, draw it; files that an earlier demo left are replaced.

    Args:
        out: a folder, made if it is missing.
        seed: of the phantom.
        progress: called after every slice.
    """
    out.mkdir(parents=True, exist_ok=True)
    scan, segmentation, overview = (
        out / name for name in ("scan.nii.gz", "segmentation.nii.gz", "overview.png")
    )
    phantom = make_phantom(DEMO_PHANTOM, np.random.default_rng(seed))
    write_volume(phantom.scan, scan, overwrite=True)
    report = segment_scans([scan], segmentation, SegmentRequest(overwrite=True), progress).cases[0]
    draw_scan_overview(scan, segmentation, overview)
    score = evaluate_case(read_label_map(segmentation), phantom.labels, surface=False, case="phantom")
    return DemoResult(scan, segmentation, overview, report, score)
