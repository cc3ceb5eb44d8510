"""DICOM SEG read: other programs' files, and files that are none."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import highdicom
import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import JPEG2000Lossless
from tests.imaging.placed_series import ORIENTATIONS, place_series

from renalmap.errors import (
    DimensionError,
    LabelError,
    MissingSliceError,
    MixedSeriesError,
    TruncatedFileError,
    UnreadableImageError,
)
from renalmap.imaging import read_geometry, read_label_map, read_volume
from renalmap.imaging.dicom.placing import labels_on_instances
from renalmap.imaging.dicom_seg.sources import source_datasets
from renalmap.imaging.dicom_seg.writing import SegAlgorithm, build_dicom_seg, write_dicom

ALGORITHM = SegAlgorithm("1.2.3", "0" * 64)
DCMQI = shutil.which(
    "segimage2itkimage", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
)
KIDNEY_CODE = Code("64033007", "SCT", "Kidney")


@pytest.fixture
def series(tmp_path, write_slice):
    return place_series(tmp_path / "series", write_slice, *ORIENTATIONS["axial"])


@pytest.fixture
def seg(series, tmp_path):
    """Our own SEG, to be changed and saved again."""
    write_dicom(build_dicom_seg(series.structures, series.source, ALGORITHM), tmp_path / "own.dcm")
    return dcmread(tmp_path / "own.dcm")


@pytest.fixture
def save(tmp_path):
    def save_as(dataset: Dataset):
        dataset.save_as(tmp_path / "changed.dcm", enforce_file_format=True)
        return tmp_path / "changed.dcm"

    return save_as


def foreign(series, masks: Any, kinds: Any, **settings: Any) -> Dataset:
    """A SEG as another program would make it: `kinds` are (category, type, region or None)."""
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"segment {number}",
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_type="MANUAL",
            anatomic_regions=None if region is None else [region],
        )
        for number, (category, kind, region) in enumerate(kinds, start=1)
    ]
    values: dict[str, Any] = {"segmentation_type": "BINARY"} | settings
    return highdicom.seg.Segmentation(
        source_images=source_datasets(series.source),
        pixel_array=np.stack(masks, axis=-1),
        segment_descriptions=described,
        series_instance_uid=highdicom.UID(),
        series_number=7,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="somebody",
        manufacturer_model_name="something",
        software_versions="1",
        device_serial_number="1",
        **values,
    )


ANATOMY = codes.SCT.AnatomicalStructure
ABNORMAL = codes.SCT.MorphologicallyAbnormalStructure


def test_an_overlapping_tumour_wins_over_its_kidney(series, save):
    structures = labels_on_instances(series.structures, series.source)
    whole, tumour = (structures == 1) | (structures == 3), structures == 3
    path = save(
        foreign(
            series,
            [tumour, whole],
            [(ABNORMAL, codes.SCT.Neoplasm, KIDNEY_CODE), (ANATOMY, KIDNEY_CODE, None)],
        )
    )
    expected = np.array([0, 1, 0, 2], np.uint8)[series.structures.labels]
    np.testing.assert_array_equal(read_label_map(path).labels, expected)


def test_codes_of_snomed_rt_are_understood(series, save):
    """Files of before 2018 have them."""
    structures = labels_on_instances(series.structures, series.source)
    path = save(
        foreign(
            series,
            [structures == 2, structures == 3],
            [
                (Code("T-D0050", "SRT", "Tissue"), Code("T-71000", "SRT", "Kidney"), None),
                (Code("M-01000", "SRT", "Abnormal"), Code("M-03000", "SRT", "Mass"), None),
            ],
        )
    )
    expected = np.array([0, 0, 1, 2], np.uint8)[series.structures.labels]
    np.testing.assert_array_equal(read_label_map(path).labels, expected)


def test_other_organs_and_their_lesions_are_left_out_and_named(series, save, caplog):
    structures = labels_on_instances(series.structures, series.source)
    liver = Code("10200004", "SCT", "Liver")
    path = save(
        foreign(
            series,
            [structures == 1, structures == 2, structures == 3],
            [
                (ANATOMY, liver, None),
                (ANATOMY, KIDNEY_CODE, None),
                (ABNORMAL, codes.SCT.Mass, liver),
            ],
        )
    )
    with caplog.at_level(logging.INFO):
        labels = read_label_map(path).labels
    np.testing.assert_array_equal(labels, series.structures.labels == 2)
    assert "left out segment 1, segment 3" in caplog.text


def test_a_seg_of_other_organs_alone_is_refused(series, save):
    mask = labels_on_instances(series.structures, series.source) == 1
    path = save(foreign(series, [mask], [(ANATOMY, Code("10200004", "SCT", "Liver"), None)]))
    with pytest.raises(LabelError, match=r"neither kidneys nor tumours \(got segment 1; expected"):
        read_label_map(path)


def test_fractions_are_refused(series, save):
    mask = (labels_on_instances(series.structures, series.source) == 1).astype(np.float32)
    path = save(foreign(series, [mask], [(ANATOMY, KIDNEY_CODE, None)], segmentation_type="FRACTIONAL"))
    with pytest.raises(LabelError, match="holds fractions"):
        read_label_map(path)


def test_compressed_bits_are_read(series, save):
    structures = labels_on_instances(series.structures, series.source)
    path = save(
        foreign(
            series,
            [structures == 1],
            [(ANATOMY, KIDNEY_CODE, None)],
            transfer_syntax_uid=JPEG2000Lossless,
        )
    )
    np.testing.assert_array_equal(read_label_map(path).labels, series.structures.labels == 1)


def test_without_an_ordered_list_of_slices_the_grid_ends_with_the_frames(seg, save, series):
    instances = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    swapped = [*instances[5:], *instances[:5]]
    seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence = swapped
    label_map = read_label_map(save(seg))
    filled = np.flatnonzero(series.structures.labels.any(axis=(1, 2)))
    assert label_map.labels.shape[0] == filled[-1] - filled[0] + 1
    assert label_map.volume_ml(1, 2) == pytest.approx(series.structures.volume_ml(1, 2, 3))
    # The first slice has moved up, in the patient too.
    lowest = series.structures.geometry.affine @ [filled[0], 0, 0, 1]
    np.testing.assert_allclose(label_map.geometry.affine[:, 3], lowest)


def test_its_geometry_can_be_read_alone(seg, save, series):
    geometry = read_geometry(save(seg))
    assert geometry.matches(series.structures.geometry, tolerance_mm=1e-4)


def test_a_seg_beside_its_slices_is_no_slice(series, tmp_path, seg):
    seg.save_as(tmp_path / "series" / "seg.dcm", enforce_file_format=True)
    assert read_volume(tmp_path / "series").geometry.matches(
        series.structures.geometry, tolerance_mm=1e-2
    )


@pytest.mark.skipif(DCMQI is None, reason="needs segimage2itkimage (pip install dcmqi)")
@pytest.mark.parametrize("segmentation_type", ["binary", "labelmap"])
def test_dcmqi_finds_the_same_places(series, tmp_path, segmentation_type):
    """A second reader, in C++, on DCMTK and ITK."""
    seg = build_dicom_seg(series.structures, series.source, ALGORITHM, segmentation_type)
    write_dicom(seg, tmp_path / "own.dcm")
    (tmp_path / "itk").mkdir()
    subprocess.run(
        [
            *(str(DCMQI), "--mergeSegments", "--outputType", "nii"),
            *("--inputDICOM", tmp_path / "own.dcm", "--outputDirectory", tmp_path / "itk"),
        ],
        check=True,
        capture_output=True,
    )
    (path,) = (tmp_path / "itk").glob("*.nii.gz")
    image: Any = nib.load(path)
    found = np.asarray(image.dataobj)
    to_index = np.linalg.inv(series.structures.geometry.affine) @ image.affine
    index = np.argwhere(found) @ to_index[:3, :3].T + to_index[:3, 3]
    np.testing.assert_allclose(index, index.round(), atol=1e-3)
    ours = series.structures.labels[tuple(index.round().astype(int).T)]
    np.testing.assert_array_equal(ours, found[found > 0])
    assert len(index) == np.count_nonzero(series.structures.labels)


# Bad input.


def test_a_slice_of_ct_is_no_label_map(series):
    path = series.source.instances[0].file.path
    with pytest.raises(UnreadableImageError, match=r"must be a DICOM SEG or.*modality CT"):
        read_label_map(path)


def test_a_folder_is_no_label_map(tmp_path):
    with pytest.raises(UnreadableImageError, match="a label map must be one file"):
        read_label_map(tmp_path)


def test_a_file_that_only_has_the_name_is_refused(tmp_path):
    (tmp_path / "seg.dcm").write_bytes(b"no DICOM")
    with pytest.raises(UnreadableImageError):
        read_label_map(tmp_path / "seg.dcm")


def test_a_file_cut_short_is_refused(seg, save):
    path = save(seg)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TruncatedFileError, match="truncated or damaged"):
        read_label_map(path)


def test_frames_without_a_place_are_refused(seg, save):
    del seg.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence
    with pytest.raises(UnreadableImageError, match="does not say where its frames lie"):
        read_label_map(save(seg))


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize(("place", "message"), [(7, "positions for"), (8, "not a number")])
def test_places_that_do_not_fit_the_frames_are_refused(seg, save, place, message):
    frames = seg.PerFrameFunctionalGroupsSequence
    if message == "positions for":
        del frames[place]
    else:
        frames[place].PlanePositionSequence[0]["ImagePositionPatient"].value = ["nan", "0", "0"]
    with pytest.raises(UnreadableImageError, match=message):
        read_label_map(save(seg))


def test_frames_metres_apart_do_not_ask_for_a_grid_of_metres(seg, save):
    x, y, _ = seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [x, y, 1e6]
    with pytest.raises(MissingSliceError, match="too far apart to be of one scan"):
        read_label_map(save(seg))


def test_segments_without_a_code_are_none_of_ours(seg, save):
    for segment in seg.SegmentSequence:
        del segment.SegmentedPropertyTypeCodeSequence
    with pytest.raises(LabelError, match=r"got Left kidney, Right kidney, Left kidney tumour;"):
        read_label_map(save(seg))
    del seg.SegmentSequence
    with pytest.raises(LabelError, match="got no segments"):
        read_label_map(save(seg))


def test_frames_at_unequal_distances_are_refused(seg, save):
    position = seg.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    x, y, z = position.ImagePositionPatient
    position.ImagePositionPatient = [x, y, float(z) + 1.5]
    with pytest.raises(MissingSliceError, match=r"got a frame 1.50 mm off; expected one every 4.00 mm"):
        read_label_map(save(seg))


def test_frames_at_an_angle_are_refused(seg, save):
    shared = seg.SharedFunctionalGroupsSequence[0]
    turned = Dataset()
    turned.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    for own in seg.PerFrameFunctionalGroupsSequence:
        own.PlaneOrientationSequence = shared.PlaneOrientationSequence
    seg.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence = [turned]
    del shared.PlaneOrientationSequence
    with pytest.raises(MixedSeriesError, match="lie at an angle"):
        read_label_map(save(seg))


def test_one_frame_needs_a_thickness(series, save):
    mask = np.zeros_like(labels_on_instances(series.structures, series.source))
    mask[8, 5:9, 5:9] = 1
    seg = foreign(series, [mask], [(ANATOMY, KIDNEY_CODE, None)])
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert read_label_map(save(seg)).labels.shape == (1, 35, 33)
    del measures.SpacingBetweenSlices
    assert read_label_map(save(seg)).geometry.spacing_mm[0] == 4.0
    del measures.SliceThickness
    with pytest.raises(DimensionError, match="does not give the slice spacing"):
        read_label_map(save(seg))
