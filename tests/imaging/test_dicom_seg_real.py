"""DICOM SEG of the series that hospitals sent, against NIfTI of the same labels and independent tools."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from tests.imaging.placed_series import frame_places

from renalmap.anatomy import Anatomy
from renalmap.api.dicom_seg import name_structures
from renalmap.errors import DicomReferenceError
from renalmap.imaging import LabelMap, read_label_map, read_volume, write_label_map
from renalmap.imaging.dicom_seg.sources import check_source
from renalmap.imaging.dicom_seg.writing import SegAlgorithm, build_dicom_seg, write_dicom

ALGORITHM = SegAlgorithm("1.2.3", "0" * 64)

SERIES = {
    "HCC_006": ("HCC_006", None, "HCC_006_kidney.nii.gz"),
    # The later of two acquisitions under one SeriesInstanceUID; the left kidney is cut off.
    "HCC_002": ("HCC_002_two_acquisitions", 2, "HCC_002_acquisition2_kidney.nii.gz"),
}


@pytest.mark.parametrize("name", SERIES)
def test_it_shows_in_the_patient_what_the_nifti_file_shows(shared_data, tmp_path, name):
    folder, acquisition, mask = SERIES[name]
    volume = read_volume(shared_data / "dicom" / folder, acquisition=acquisition)
    labels = read_label_map(shared_data / "dicom" / mask).labels.copy()
    left = labels[:, :, 256:]
    kidney = np.argwhere(left == 1)
    z, y, x = kidney[len(kidney) // 2]
    left[z - 2 : z + 3, y - 6 : y + 7, x - 6 : x + 7] *= 2  # a tumour, of kidney voxels
    label_map = LabelMap(labels, volume.geometry, name)
    write_label_map(label_map, tmp_path / "labels.nii.gz")
    structures = name_structures(Anatomy.of(label_map, volume))
    assert volume.source is not None
    seg = build_dicom_seg(structures, volume.source, ALGORITHM)
    write_dicom(seg, tmp_path / "seg.dcm")

    seg = dcmread(tmp_path / "seg.dcm")
    image: Any = nib.load(tmp_path / "labels.nii.gz")
    nifti, to_index = np.asarray(image.dataobj), np.linalg.inv(image.affine)
    assert [each.SegmentLabel for each in seg.SegmentSequence] == [
        "Left kidney",
        "Right kidney",
        "Left kidney tumour",
    ]
    marked = np.zeros(4, int)
    for index, pixels in enumerate(seg.pixel_array):
        own = seg.PerFrameFunctionalGroupsSequence[index]
        segment = own.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        places_mm = frame_places(seg, index)[pixels > 0]
        voxels = places_mm @ to_index[:3, :3].T + to_index[:3, 3]
        nearest = np.rint(voxels).astype(int)
        np.testing.assert_allclose(voxels, nearest, atol=1e-2)
        assert (nifti[tuple(nearest.T)] == (2 if segment == 3 else 1)).all()
        # These patients lie straight on the table: their left is at the scan's left.
        assert ((places_mm[:, 0] < 0) == (segment != 2)).all()
        marked[segment] += len(places_mm)
    assert marked[1] + marked[2] == np.count_nonzero(nifti == 1)
    assert marked[3] == np.count_nonzero(nifti == 2) > 100

    again = read_label_map(tmp_path / "seg.dcm")
    assert again.geometry.matches(label_map.geometry, tolerance_mm=1e-2)
    np.testing.assert_array_equal(again.labels, labels)
    if shutil.which("dciodvfy") is not None:
        check_with_dicom3tools(tmp_path / "seg.dcm", volume.source.instances[0].file.path)


def check_with_dicom3tools(seg, source):
    """The SEG by itself, and that it tells of patient and study what its scan tells."""
    alone = subprocess.run(["dciodvfy", "-new", seg], capture_output=True, text=True, check=False).stderr
    assert "Segmentation" in alone.splitlines()
    assert "Error" not in alone
    together = subprocess.run(
        ["dcentvfy", seg, source], capture_output=True, text=True, check=False
    ).stderr
    assert "Error" not in together


def test_the_series_without_identifiers_is_refused(shared_data):
    volume = read_volume(shared_data / "dicom" / "stripped_tags_20_slices")
    assert volume.source is not None
    missing = "StudyInstanceUID, SeriesInstanceUID, SOPClassUID, SOPInstanceUID"
    with pytest.raises(DicomReferenceError, match=rf"got no {missing};.*Write NIfTI instead"):
        check_source(volume.source, "scan")
