"""The bundle that ships, on the phantom of the demonstration and on real CT.

It was trained on all patients at hand: what it reaches on them shows that the chain works, not how good
it is. docs/results.md has figures of patients that were held out.
"""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.api.demo import DEMO_PHANTOM, demo
from renalmap.api.segment import segment
from renalmap.bundle import Bundle, default_bundle_path
from renalmap.evaluation import dice, evaluate_case
from renalmap.imaging import Volume, read_geometry, read_label_map, read_volume
from renalmap.inference.cascade import Cascade, SegmentOptions
from renalmap.phantom import make_phantom


def test_the_default_bundle_is_whole():
    bundle = Bundle.open(default_bundle_path())
    assert bundle.statistics.mean_hu.shape == (bundle.plan.grid_size, bundle.plan.grid_size)


def test_the_demonstration_finds_kidneys_and_tumour(tmp_path):
    result = demo(tmp_path / "demo")
    for path in (result.scan, result.segmentation, result.overview):
        assert path.stat().st_size > 1000
    assert result.overview.read_bytes().startswith(b"\x89PNG")
    assert read_label_map(result.segmentation).geometry.matches(
        read_geometry(result.scan), tolerance_mm=1e-2
    )
    assert result.case.status == "ok"
    assert result.score.kidney_dice >= 0.8
    assert result.score.tumour_dice > 0.3


def test_a_scan_comes_out_whole(tmp_path, shared_data):
    scan = shared_data / "scans" / "HCC_009.nii.gz"
    reference = read_label_map(shared_data / "scans" / "HCC_009_kidney.nii.gz")
    segment([scan], tmp_path / "out.nii.gz")
    score = evaluate_case(read_label_map(tmp_path / "out.nii.gz"), reference, surface=False)
    assert score.kidney_dice >= 0.88


def test_a_dicom_series_comes_out_on_its_own_grid(tmp_path, shared_data):
    folder = shared_data / "dicom" / "HCC_006"
    (case,) = segment([folder], tmp_path / "out.nii.gz").cases
    found = read_label_map(tmp_path / "out.nii.gz")
    assert case.kidney_ml == pytest.approx(found.volume_ml(1), abs=0.01)
    assert found.geometry.matches(read_geometry(folder), tolerance_mm=1e-3)
    reference = read_label_map(shared_data / "dicom" / "HCC_006_kidney.nii.gz")
    assert evaluate_case(found, reference, surface=False).kidney_dice >= 0.90


def test_the_search_finds_what_looking_everywhere_finds(shared_data):
    volume = read_volume(shared_data / "scans" / "HCC_009.nii.gz")
    cascade, looked = Cascade(Bundle.open(default_bundle_path())), []
    found = cascade.segment(volume, progress=lambda *step: looked.append(step))
    everywhere = cascade.segment(volume, SegmentOptions(exhaustive=True))
    np.testing.assert_array_equal(found.label_map.labels, everywhere.label_map.labels)
    assert sum(what == "stage 1" for what, *_ in looked) < 0.8 * volume.hu.shape[0]


def test_a_scan_clipped_to_eight_bits_gets_nearly_the_same_kidneys():
    """Its fat is gone, which the networks see since they clip at -100 HU; they have learnt from such slices, too."""
    config = DEMO_PHANTOM.model_copy(
        update={"shape_zyx": (6, 512, 512), "spacing_mm_zyx": (15.0, 0.78, 0.78)}
    )
    scan = make_phantom(config, np.random.default_rng(3)).scan
    clipped = Volume(np.clip(scan.hu, 0, 255).astype(np.int16), scan.geometry)
    cascade = Cascade(Bundle.open(default_bundle_path()))
    labels = cascade.segment(scan).label_map.labels
    assert labels.any()
    of_clipped = cascade.segment(clipped).label_map.labels
    assert dice(of_clipped > 0, labels > 0) > 0.95
