"""The phantom against what was asked of it and what is known about it."""

from __future__ import annotations

import json
from functools import cache

import cc3d
import nibabel as nib
import numpy as np
import pytest
from pydantic import ValidationError

from renalmap.imaging import read_label_map, read_volume, write_label_map, write_volume
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.phantom import (
    Lesion,
    Phantom,
    PhantomConfig,
    make_phantom,
    write_kits_layout,
)
from renalmap.phantom.scanner import NoiseMaker, blend_neighbours

SMALL = PhantomConfig(
    shape_zyx=(42, 96, 96), spacing_mm_zyx=(3.5, 3.5, 3.5), tumours=0, cysts=0, noise_hu=0.0
)


def with_settings(**settings) -> PhantomConfig:
    return PhantomConfig.model_validate({**SMALL.model_dump(), **settings})


@cache
def phantom(seed: int = 0, config: PhantomConfig = SMALL) -> Phantom:
    return make_phantom(config, np.random.default_rng(seed))


def mean_hu(made: Phantom, label: int) -> float:
    return float(made.scan.hu[made.labels.labels == label].mean())


def equivalent_diameter_mm(volume_ml: float) -> float:
    return float((6.0 * volume_ml * 1000.0 / np.pi) ** (1.0 / 3.0))


def test_same_seed_gives_the_same_arrays_and_another_seed_does_not():
    config = with_settings(noise_hu=12.0, tumours=1)
    first, again, other = (make_phantom(config, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.scan.hu, again.scan.hu)
    np.testing.assert_array_equal(first.labels.labels, again.labels.labels)
    assert first.lesions == again.lesions
    assert (first.labels.labels != other.labels.labels).any()
    assert first.scan.hu.dtype == np.int16


def test_labels_are_kits19s_and_their_volumes_are_reported():
    made = phantom(1, with_settings(tumours=1))
    labels = made.labels.labels
    assert set(np.unique(labels)) == {0, KIDNEY, TUMOUR}
    voxel_ml = 3.5**3 / 1000.0
    for label in (KIDNEY, TUMOUR):
        assert made.volumes_ml[label] == pytest.approx((labels == label).sum() * voxel_ml)


@pytest.mark.parametrize("seed", range(4))
def test_two_kidneys_of_plausible_volume_lie_beside_the_spine(seed):
    made = phantom(seed)
    components = cc3d.connected_components(made.labels.labels, connectivity=6)
    right, left = sorted(
        (np.argwhere(components == index) for index in np.unique(components)[1:]),
        key=lambda voxels: voxels[:, 2].mean(),
    )
    middle = (SMALL.shape_zyx[2] - 1) / 2
    for voxels, side in ((right, -1.0), (left, 1.0)):
        assert 100.0 < len(voxels) * 3.5**3 / 1000.0 < 250.0
        assert 50.0 < side * (voxels[:, 2].mean() - middle) * 3.5 < 100.0
        assert 85.0 < np.ptp(voxels[:, 0]) * 3.5 < 130.0
    assert right[:, 0].mean() < left[:, 0].mean()


def test_liver_lies_on_the_patients_right_and_gas_only_inside_the_body():
    made = phantom(2, with_settings(shape_zyx=(60, 96, 96)))
    liver_like = np.abs(made.scan.hu - 110.0) < 15.0
    assert liver_like[..., :48].sum() > 1.5 * liver_like[..., 48:].sum()
    assert made.scan.hu[:, :3].max() < -950


def test_upper_slices_of_a_long_scan_reach_the_lungs():
    made = phantom(0, with_settings(shape_zyx=(60, 96, 96)))
    centre = np.s_[30:60, 15:81]
    lung_share = [(np.abs(plane[centre] + 860.0) < 90.0).mean() for plane in made.scan.hu[[0, 58]]]
    assert lung_share[0] < 0.02
    assert lung_share[1] > 0.25


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tumours_have_the_number_and_the_diameters_that_were_asked(seed):
    asked_mm = (45.0, 30.0, 22.0)
    config = with_settings(
        shape_zyx=(64, 128, 128),
        spacing_mm_zyx=(2.5, 2.5, 2.5),
        lesions=tuple(Lesion(diameter_mm=diameter) for diameter in asked_mm),
    )
    made = phantom(seed, config)
    components = cc3d.connected_components(made.labels.labels == TUMOUR, connectivity=26)
    assert components.max() == 3
    for lesion, diameter in zip(made.lesions, asked_mm, strict=True):
        place = tuple(np.rint(lesion.centre_zyx_voxels).astype(int))
        volume_ml = (components == components[place]).sum() * 2.5**3 / 1000.0
        assert components[place] > 0
        assert equivalent_diameter_mm(volume_ml) == pytest.approx(diameter, rel=0.15)


def test_lesion_centres_agree_in_voxels_world_and_labels():
    config = with_settings(lesions=(Lesion(diameter_mm=40.0, side="right"),), orientation="PIR")
    made = phantom(5, config)
    (lesion,) = made.lesions
    centroid = np.argwhere(made.labels.labels == TUMOUR).mean(axis=0)
    np.testing.assert_allclose(centroid, lesion.centre_zyx_voxels, atol=1.0)
    world = made.labels.geometry.affine @ [*lesion.centre_zyx_voxels, 1.0]
    np.testing.assert_allclose(world[:3], lesion.centre_ras_mm, atol=1e-3)
    assert lesion.centre_ras_mm[0] > 0.0  # the patient's right, in RAS


def test_no_tumour_asked_none_labelled():
    assert phantom(0).volumes_ml[TUMOUR] == 0.0
    assert phantom(0).lesions == ()


def test_a_cyst_is_labelled_kidney_and_holds_water():
    config = with_settings(lesions=(Lesion(kind="cyst", diameter_mm=30.0, exophytic=0.5),))
    made = phantom(6, config)
    (cyst,) = made.lesions
    place = tuple(np.rint(cyst.centre_zyx_voxels).astype(int))
    core = tuple(slice(index - 1, index + 2) for index in place)
    assert (made.labels.labels[core] == KIDNEY).all()
    assert -5.0 < made.scan.hu[core].mean() < 25.0
    assert made.volumes_ml[TUMOUR] == 0.0
    assert cyst.necrotic is False


def test_necrosis_darkens_the_core_of_a_tumour():
    core_hu = []
    for necrotic in (False, True):
        lesion = Lesion(diameter_mm=50.0, side="left", exophytic=0.4, necrotic=necrotic)
        made = phantom(7, with_settings(lesions=(lesion,)))
        z, y, x = np.rint(made.lesions[0].centre_zyx_voxels).astype(int)
        core_hu.append(made.scan.hu[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].mean())
    assert core_hu[1] < core_hu[0] - 25.0


def test_contrast_phases_rank_as_in_patients():
    made = {
        phase: phantom(8, with_settings(phase=phase, tumours=1))
        for phase in ("unenhanced", "arterial", "portal")
    }
    kidney = {phase: mean_hu(scan, KIDNEY) for phase, scan in made.items()}
    assert 15.0 < kidney["unenhanced"] < 45.0
    assert kidney["unenhanced"] + 60.0 < kidney["arterial"] < kidney["portal"]
    assert 120.0 < kidney["portal"] < 200.0
    assert mean_hu(made["portal"], TUMOUR) < kidney["portal"] - 40.0
    # Arterial cortex and medulla differ; in the portal phase they are nearly alike.
    spread = {phase: _core_spread(scan) for phase, scan in made.items()}
    assert spread["arterial"] > spread["portal"] + 10.0
    aorta = {phase: np.percentile(_before_spine(scan), 99) for phase, scan in made.items()}
    assert aorta["arterial"] > aorta["portal"] + 80.0 > aorta["unenhanced"] + 150.0


def _core_spread(made: Phantom) -> float:
    """Deviation of the kidney's HU away from its partial-volume rim."""
    inside = made.labels.labels == KIDNEY
    for axis in range(3):
        inside = inside & np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
    return float(made.scan.hu[inside].std())


def _before_spine(made: Phantom) -> np.ndarray:
    soft = made.scan.hu[18:26, 44:54, 44:58]
    return soft[soft < 380]


def test_one_patient_has_the_same_volumes_on_any_grid():
    lesions = (Lesion(diameter_mm=40.0),)
    coarse = phantom(9, with_settings(lesions=lesions))
    grid = {"shape_zyx": (36, 160, 200), "spacing_mm_zyx": (4.0, 2.0, 1.6)}
    uneven = phantom(9, with_settings(lesions=lesions, **grid))
    for label in (KIDNEY, TUMOUR):
        assert uneven.volumes_ml[label] == pytest.approx(coarse.volumes_ml[label], rel=0.04)


@pytest.mark.parametrize("orientation", ["LAS", "RAS", "IPL", "SPL", "PSR", "ASL"])
def test_files_have_the_orientation_asked_for_and_read_back(tmp_path, orientation):
    config = with_settings(
        shape_zyx=(10, 48, 40), spacing_mm_zyx=(6.0, 7.0, 8.0), orientation=orientation, tumours=1
    )
    made = phantom(0, config)
    write_volume(made.scan, tmp_path / "scan.nii.gz")
    write_label_map(made.labels, tmp_path / "labels.nii.gz")
    stored = nib.Nifti1Image.from_filename(tmp_path / "scan.nii.gz")
    assert "".join(nib.aff2axcodes(stored.affine)) == orientation
    scan = read_volume(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(scan.hu, made.scan.hu)
    assert scan.geometry.matches(made.scan.geometry, tolerance_mm=1e-2)
    labels = read_label_map(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(labels.labels, made.labels.labels)


def test_table_and_noise_can_be_left_out():
    bare, full = phantom(0, with_settings(table=False)), phantom(0, with_settings(noise_hu=20.0))
    below = np.s_[:, 86:]
    assert bare.scan.hu[below].max() < -900 < full.scan.hu[below].max()
    air = bare.scan.hu[:, :4]
    assert air.min() == air.max() == -1000
    assert full.scan.hu.min() >= -1024


def test_noise_has_unit_deviation_and_neighbours_that_correlate():
    noise = NoiseMaker((256, 200), (0.75, 0.75)).draw(np.random.default_rng(0))
    assert noise.std() == pytest.approx(1.0, abs=0.03)
    assert abs(noise.mean()) < 1e-3
    assert np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1] > 0.2


def test_slices_blend_with_their_neighbours_and_keep_a_constant():
    planes = [np.full((1, 1), value, np.float32) for value in (0.0, 8.0, 0.0)]
    blended = [float(plane[0, 0]) for plane in blend_neighbours(iter(planes), 3)]
    assert blended == [1.0, 6.0, 1.0]


def test_randomised_tissues_vary_more_than_a_phase_does():
    spread = {
        randomise: np.std(
            [
                mean_hu(phantom(seed, with_settings(randomise_tissues=randomise)), KIDNEY)
                for seed in range(3)
            ]
        )
        for randomise in (False, True)
    }
    assert spread[True] > 2.0 * spread[False]


def test_kits_layout_is_complete_and_its_cases_differ(tmp_path):
    config = with_settings(shape_zyx=(8, 48, 48), spacing_mm_zyx=(5.0, 7.0, 7.0))
    with_tumour = config.model_copy(update={"tumours": 1})
    write_kits_layout(tmp_path, 3, [config, with_tumour], np.random.default_rng(0))
    records = json.loads((tmp_path / "data" / "kits.json").read_text())
    assert [record["case_id"] for record in records] == ["case_00000", "case_00001", "case_00002"]
    assert [record["radiographic_size"] is None for record in records] == [True, False, True]
    assert records[0]["voxel_spacing"] == {"x_spacing": 7.0, "y_spacing": 7.0, "z_spacing": 5.0}
    scans = []
    for record in records:
        folder = tmp_path / "data" / record["case_id"]
        stored = nib.Nifti1Image.from_filename(folder / "segmentation.nii.gz")
        assert nib.aff2axcodes(stored.affine) == ("I", "P", "L")
        assert stored.shape == (8, 48, 48)
        scans.append(read_volume(folder / "imaging.nii.gz").hu)
    assert (scans[0] != scans[2]).any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"orientation": "RLS"},
        {"orientation": "RA"},
        {"phase": "delayed"},
        {"tumours": 4},
        {"tumour_diameter_mm": (40.0, 20.0)},
        {"lesions": tuple({"diameter_mm": 10.0} for _ in range(7))},
        {"unknown": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        with_settings(**wrong)


def test_no_configuration_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one configuration"):
        write_kits_layout(tmp_path, 1, [], np.random.default_rng(0))
