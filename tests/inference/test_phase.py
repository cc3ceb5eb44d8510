"""The contrast phase: rules by hand, phantoms of every phase, and the real scans where they are."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from renalmap.anatomy import track_body
from renalmap.anatomy.voxels import find_components
from renalmap.imaging import LabelMap, Volume, build_geometry, read_label_map, read_volume
from renalmap.imaging.volume import Box
from renalmap.inference.enhancement import bright_tissue_share, hollow_ml_above, vessel_hu
from renalmap.inference.phase import ContrastReport, KidneyHu, guess_phase, tell_contrast, tell_phase
from renalmap.phantom import PhantomConfig, make_phantom

AFFINE = np.array([[0, 0, -1.0, 0], [0, -1.0, 0, 0], [5.0, 0, 0, 0], [0, 0, 0, 1.0]])


def guess(volume: Volume, labels: LabelMap) -> ContrastReport:
    boxes = [part.box for part in find_components(labels, (1, 2))]
    return guess_phase(volume, labels, boxes, track_body(volume))


def clipped(volume: Volume) -> Volume:
    return Volume(np.clip(volume.hu, 0, 255).astype(np.int16), volume.geometry)


def nothing(volume: Volume) -> LabelMap:
    return LabelMap(np.zeros(volume.hu.shape, np.uint8), volume.geometry)


# The rules.


def evidence(vessel=None, share=None, kidney=None, *, believable=True, urine_ml=None):
    kidney_hu = None
    if kidney is not None:
        kidney_hu = KidneyHu(
            mean=kidney, p10=kidney, p50=kidney, p75=kidney, p90=kidney, believable=believable
        )
    return ContrastReport(
        kidney_hu=kidney_hu, vessel_hu=vessel, bright_tissue_share=share, bright_urine_ml=urine_ml
    )


@pytest.mark.parametrize(
    ("seen", "contrast", "phase"),
    [
        (evidence(342, 0.05, 199), "enhanced", "arterial"),
        (evidence(178, 0.6, 187), "enhanced", "portal_or_nephrographic"),
        (evidence(110, 0.4, 120, urine_ml=6.0), "enhanced", "excretory"),
        (evidence(342, 0.05, 199, urine_ml=6.0), "enhanced", "arterial"),
        (evidence(44, 0.02, 24), "unenhanced", "unenhanced"),
        (evidence(44, 0.02), "unenhanced", "unenhanced"),
        (evidence(44, 0.02, 336, believable=False), "unenhanced", "unenhanced"),
        (evidence(44, 0.02, 160), "unknown", "unknown"),
        (evidence(44, 0.5), "enhanced", "portal_or_nephrographic"),
        (evidence(85, 0.15, 75), "unknown", "unknown"),
        (evidence(None, 0.02, 160), "enhanced", "unknown"),
        (evidence(None, 0.5, 160), "enhanced", "portal_or_nephrographic"),
        (evidence(None, 0.02, 30), "unenhanced", "unenhanced"),
        (evidence(None, None, 30), "unknown", "unknown"),
        (evidence(None, 0.02), "unknown", "unknown"),
        (evidence(), "unknown", "unknown"),
    ],
)
def test_the_rules(seen, contrast, phase):
    assert tell_contrast(seen) == contrast
    assert tell_phase(seen, contrast) == phase


# The measurements.


def torso(aorta_hu: int, organ_hu: int = 55, depth: int = 24) -> Volume:
    """A body off the picture's middle, a spine whose marrow discs interrupt, an aorta, one big organ."""
    generator = np.random.default_rng(0)
    hu = np.full((depth, 220, 300), -1000, np.int16)
    hu[:, 10:210, 60:290] = -100
    hu[:, 20:200, 70:280] = 50
    hu[:, 60:120, 200:270] = organ_hu
    hu[:, 140:170, 155:195], hu[:, 143:167, 158:192] = 500, 160
    hu[::6, 143:167, 158:192] = 70
    hu[:, 175:200, 170:180] = 600
    y, x = np.mgrid[:220, :300]
    hu[:, np.hypot(y - 126, x - 185) < 11] = aorta_hu
    noisy = hu + np.rint(generator.normal(0, 12, hu.shape)).astype(np.int16)
    return Volume(noisy, build_geometry(hu.shape, AFFINE))


@pytest.mark.parametrize("aorta_hu", [120, 180, 340])
def test_an_aorta_is_measured(aorta_hu):
    volume = torso(aorta_hu)
    assert vessel_hu(volume, track_body(volume)) == pytest.approx(aorta_hu, abs=5)


def test_without_contrast_marrow_is_not_taken_for_a_vessel():
    volume = torso(42)
    got = vessel_hu(volume, track_body(volume))
    assert got == pytest.approx(50, abs=8)


def test_cement_in_the_spine_is_not_taken_for_a_vessel():
    volume = torso(42)
    hu = volume.hu.copy()
    hu[:, 143:167, 158:192] = 1400
    filled = Volume(hu, volume.geometry)
    got = vessel_hu(filled, track_body(filled))
    assert got == pytest.approx(50, abs=8)


def test_the_spine_gives_the_midline():
    volume = torso(180)
    np.testing.assert_allclose(track_body(volume).at(np.arange(24)), 175, atol=3)


def test_a_short_scan_has_no_vessel():
    volume = torso(180, depth=4)
    assert vessel_hu(volume, track_body(volume)) is None


def test_the_share_of_bright_tissue():
    dark, bright = torso(42, organ_hu=55), torso(42, organ_hu=120)
    assert bright_tissue_share(dark) == pytest.approx(0.0, abs=0.02)
    area = 60 * 70 / (180 * 210 - 40 * 30)
    assert bright_tissue_share(bright) == pytest.approx(area, abs=0.03)


def test_air_has_no_tissue():
    hu = np.full((3, 64, 64), -1000, np.int16)
    volume = Volume(hu, build_geometry(hu.shape, AFFINE))
    assert bright_tissue_share(volume) is None
    assert guess(volume, nothing(volume)) == ContrastReport()


def test_the_hollow_of_a_kidney_is_open_on_one_side():
    """A C open to the right: its hollow of 4 by 4 is bright, and so is a rib outside."""
    labels = np.zeros((2, 30, 30), np.uint8)
    labels[:, 10:20, 10:20] = 1
    labels[:, 13:17, 10:14] = 0
    hu = np.full(labels.shape, 150, np.int16)
    hu[:, 13:17, 10:14] = 800
    hu[:, 11:13, 21:29] = 800
    volume = Volume(hu, build_geometry(hu.shape, AFFINE))
    box = Box((0, 10, 10), (2, 20, 20))
    assert hollow_ml_above(volume, labels, box, 300) == pytest.approx(2 * 16 * 5 / 1000)
    assert hollow_ml_above(volume, labels, box, 900) == 0.0
    wide = Box((0, 0, 0), (2, 30, 30))
    assert hollow_ml_above(volume, labels, wide, 300) == pytest.approx(2 * 16 * 5 / 1000)


@pytest.mark.parametrize(("factor", "offset"), [(1, 1024), (0, 0), (1 / 4096, 0.25)])
def test_values_that_are_no_hu_have_no_phase(factor, offset):
    hu = (torso(340).hu * factor + offset).astype(np.float32)
    volume = Volume(np.maximum(hu, 0).astype(np.float32), build_geometry(hu.shape, AFFINE))
    assert guess(volume, nothing(volume)).phase == "unknown"


# Phantoms.


def phantom(phase, seed):
    config = PhantomConfig(
        phase=phase, shape_zyx=(40, 256, 256), spacing_mm_zyx=(5.0, 1.5, 1.5), tumours=1, cysts=0
    )
    return make_phantom(config, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("unenhanced", "unenhanced"),
        ("arterial", "arterial"),
        ("portal", "portal_or_nephrographic"),
    ],
)
def test_a_phantoms_phase_is_told_with_and_without_its_kidneys(made, told, seed):
    case = phantom(made, seed)
    assert guess(case.scan, case.labels).phase == told
    assert guess(case.scan, nothing(case.scan)).phase == told
    enhanced = "unenhanced" if made == "unenhanced" else "enhanced"
    assert guess(clipped(case.scan), case.labels).contrast == enhanced


def test_bone_taken_for_kidney_does_not_hide_that_a_phantom_is_unenhanced():
    case = phantom("unenhanced", 3)
    labels = (case.scan.hu > 250).astype(np.uint8)
    got = guess(case.scan, LabelMap(labels, case.scan.geometry))
    assert got.kidney_hu is not None
    assert not got.kidney_hu.believable
    assert got.contrast == "unenhanced"


def test_contrast_agent_in_the_pelvis_is_the_excretory_phase():
    """The phantom knows no excretory phase: its portal one, with 700 HU in the kidneys' hollow."""
    case = phantom("portal", 4)
    hu = case.scan.hu.copy()
    for part in find_components(case.labels, (1, 2)):
        for z in range(part.box.start[0], part.box.stop[0]):
            kidney = case.labels.labels[z] > 0
            y, x = np.nonzero(kidney)
            if y.size > 200:
                middle = slice(int(y.mean()) - 6, int(y.mean()) + 6)
                hollow = np.zeros_like(kidney)
                hollow[middle, x.min() : x.max()] = True
                hu[z][hollow & ~kidney] = 700
    assert guess(Volume(hu, case.scan.geometry), case.labels).phase == "excretory"
    assert guess(case.scan, case.labels).phase == "portal_or_nephrographic"


# Real scans.

REAL = [
    ("scans/HCC_009.nii.gz", None, "scans/HCC_009_kidney.nii.gz", "portal_or_nephrographic"),
    ("scans/unenhanced_3mm.nii.gz", None, "scans/unenhanced_3mm_kidney.nii.gz", "unenhanced"),
    ("dicom/HCC_006", None, "dicom/HCC_006_kidney.nii.gz", "portal_or_nephrographic"),
    (
        *("dicom/HCC_002_two_acquisitions", 1),
        *("dicom/HCC_002_acquisition1_kidney.nii.gz", "arterial"),
    ),
    (
        *("dicom/HCC_002_two_acquisitions", 2),
        *("dicom/HCC_002_acquisition2_kidney.nii.gz", "portal_or_nephrographic"),
    ),
    ("dicom/stripped_tags_20_slices", None, None, "portal_or_nephrographic"),
]


@pytest.mark.parametrize(("scan", "acquisition", "mask", "told"), REAL)
def test_real_scans(shared_data, scan, acquisition, mask, told):
    volume = read_volume(shared_data / scan, acquisition=acquisition)
    empty = nothing(volume)
    assert guess(volume, empty).phase == told
    assert guess(clipped(volume), empty).contrast == (told if told == "unenhanced" else "enhanced")
    if mask is not None:
        labels = np.minimum(read_label_map(shared_data / mask).labels, 1)
        assert guess(volume, LabelMap(labels, volume.geometry)).phase == told


def test_no_slice_of_an_enhanced_scan_is_called_unenhanced(shared_data):
    told = []
    folder = shared_data / "slices"
    rows = list(csv.DictReader((folder / "index.csv").read_text().splitlines()))
    for row in rows:
        with np.load(folder / f"{row['name']}.npz") as arrays:
            hu, labels = arrays["hu"].astype(np.int16)[None], arrays["label"].astype(np.uint8)[None]
        geometry = build_geometry(hu.shape, AFFINE)
        told.append(
            (guess(Volume(hu, geometry), LabelMap(labels, geometry)).contrast, bool(labels.any()))
        )
    assert len(told) == 145
    assert "unenhanced" not in {contrast for contrast, _ in told}
    with_kidney = [contrast for contrast, kidney in told if kidney]
    assert with_kidney.count("enhanced") >= 0.9 * len(with_kidney)
