"""On real scans and masks, where they are at hand."""

from __future__ import annotations

import numpy as np
import pytest

from renalmap.api.inspect import inspect
from renalmap.imaging import read_volume
from renalmap.inspection.phases import find_second_phase, silhouette


@pytest.fixture(scope="module")
def silhouettes(shared_data):
    """Of every real scan at hand, by name, with its slice distance."""
    scans, dicom = shared_data / "scans", shared_data / "dicom"
    sources = {
        "HCC_009": (scans / "HCC_009.nii.gz", None),
        "unenhanced": (scans / "unenhanced_3mm.nii.gz", None),
        "arterial": (dicom / "HCC_002_two_acquisitions", 1),
        "later": (dicom / "HCC_002_two_acquisitions", 2),
    }
    found = {}
    for name, (path, acquisition) in sources.items():
        volume = read_volume(path, acquisition=acquisition)
        planes = np.stack([silhouette(plane) for plane in volume.hu])
        found[name] = planes, volume.geometry.spacing_mm[0]
    return found


def test_no_real_scan_is_taken_for_two(silhouettes):
    assert [name for name, scan in silhouettes.items() if find_second_phase(*scan) is not None] == []


@pytest.mark.parametrize("part", [slice(None), slice(20, 70)])
def test_two_real_acquisitions_end_to_end_are_found(silhouettes, part):
    arterial, slice_mm = silhouettes["arterial"]
    later, _ = silhouettes["later"]
    phase = find_second_phase(np.concatenate([arterial, later[part]]), slice_mm)
    assert phase is not None
    assert phase.first_slice == len(arterial)
    # The patient breathed between them: the same anatomy lies within 5 mm.
    assert abs(phase.repeats[0] - (part.start or 0)) <= 2
    assert phase.correlation > 0.8


def test_another_patient_is_no_second_phase(silhouettes):
    arterial, slice_mm = silhouettes["arterial"]
    joined = np.concatenate([arterial, silhouettes["HCC_009"][0]])
    assert find_second_phase(joined, slice_mm) is None


def test_real_kits_masks(shared_data, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    (root / "kits.json").symlink_to(shared_data / "kits19" / "data" / "kits.json")
    for number in (15, 21, 165):
        name = f"case_{number:05d}"
        (root / name).symlink_to(shared_data / "kits19" / "data" / name)
    outcome = inspect(tmp_path)
    assert outcome.edition == "kits19"
    assert {f.check for case in outcome.cases for f in case.findings if f.severity == "error"} == set()
    by_id = {case.case_id: {f.check for f in case.findings} for case in outcome.cases}
    assert {"stored", "known_issue"} <= by_id["case_00015"]
    assert "kidneys" in by_id["case_00165"]
    assert outcome.cases[1].kidney_ml == pytest.approx(350.68)
