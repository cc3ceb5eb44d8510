"""The demonstration: a synthetic CT, segmented by the bundled model and scored against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from renalmap.api.cohort.scan import CaseOutcome
from renalmap.api.listener import Listener
from renalmap.api.overview import overview
from renalmap.api.request import SegmentRequest
from renalmap.api.segment import segment
from renalmap.evaluation import CaseScore, evaluate_case
from renalmap.imaging import read_label_map, write_volume
from renalmap.imaging.files import make_folder
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
    """The files that the demonstration made, what `segment` says, and the score against the phantom's truth."""

    scan: Path
    segmentation: Path
    overview: Path
    case: CaseOutcome
    score: CaseScore


def demo(out: Path, *, seed: int = DEMO_SEED, listener: Listener = Listener()) -> DemoResult:
    """Make a phantom, segment it, score it, draw it; files of an earlier demo are replaced.

    Args:
        out: a folder, made if it is missing.
        seed: of the phantom.
        listener: who is kept informed.
    """
    make_folder(out)
    names = ("scan.nii.gz", "segmentation.nii.gz", "overview.png")
    scan, segmentation, picture = (out / name for name in names)
    phantom = make_phantom(DEMO_PHANTOM, np.random.default_rng(seed))
    write_volume(phantom.scan, scan, overwrite=True)
    done = segment([scan], segmentation, SegmentRequest(overwrite=True), listener=listener)
    overview(scan, segmentation, picture)
    score = evaluate_case(read_label_map(segmentation), phantom.labels, surface=False, case="phantom")
    return DemoResult(scan, segmentation, picture, done.cases[0], score)
