"""Which series is taken, and which are left out by what name."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from pydicom.uid import (
    BasicTextSRStorage,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    XRayRadiationDoseSRStorage,
    generate_uid,
)

from renalmap.dataset.cases import Case, read_scan
from renalmap.errors import (
    AmbiguousAcquisitionError,
    AmbiguousSeriesError,
    InputError,
    NoImagesError,
    NonAxialSeriesError,
)
from renalmap.imaging import DicomChoice, read_volume
from renalmap.imaging.dicom.catalogue import read_catalogue
from renalmap.imaging.dicom.choice import choose
from renalmap.imaging.dicom.kinds import kernel_kind, phase_from_words

CORONAL = [1, 0, 0, 0, 0, -1]


@pytest.fixture
def add(write_series, tmp_path):
    """A function that adds a series of so many slices to one study, its number in every voxel's name."""

    def add_series(number, slices, first_mm=0.0, **tags):
        tags = {"SeriesNumber": number, "SeriesInstanceUID": uid(number)} | tags
        write_series(
            [first_mm + each for each in range(slices)], f"s{number}_", f"study/{number}", **tags
        )
        return tmp_path / "study"

    return add_series


def uid(number):
    return generate_uid(entropy_srcs=["choice", str(number)])


def taken(path, **choice):
    chosen = choose(read_catalogue(path), DicomChoice(**choice))
    return chosen.series.of.series_number, chosen.why


def reasons(path):
    return {each.of.series_number: each.why_not for each in read_catalogue(path).series}


def test_what_is_no_axial_ct_is_left_out_by_name(add):
    add(1, 2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], ImageOrientationPatient=CORONAL)
    add(2, 3)
    add(3, 9, ImageType=["DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 MIP"])
    add(4, 9, ImageOrientationPatient=CORONAL)
    add(5, 9, SOPClassUID=SecondaryCaptureImageStorage)
    add(6, 1, SOPClassUID=SecondaryCaptureImageStorage, SeriesDescription="Dose Report")
    add(7, 1, SOPClassUID=XRayRadiationDoseSRStorage, Modality="SR", Rows=None, Columns=None)
    add(8, 1, SOPClassUID=BasicTextSRStorage, Modality="SR", Rows=None, Columns=None)
    add(9, 9, SOPClassUID=MRImageStorage, Modality="MR")
    add(10, 1)
    path = add(11, 9, ImageOrientationPatient=[1, 0, 0, 0, np.cos(0.7), np.sin(0.7)])

    assert reasons(path) == {
        1: "scout",
        2: None,
        3: "projection",
        4: "coronal, not axial",
        5: "secondary capture",
        6: "dose report",
        7: "dose report",
        8: "report, not an image",
        9: "MR, not CT",
        10: "a single slice",
        11: "oblique",
    }
    assert taken(path) == (2, "the only axial CT series that is not a scout, report or projection")


def test_a_study_without_any_axial_ct_names_what_it_holds(add):
    add(1, 2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    path = add(2, 9, ImageType=["DERIVED", "SECONDARY", "MIN_IP"])
    found = r"series 2 'Abdomen': projection.*series 1 'Abdomen': scout"
    with pytest.raises(NoImagesError, match=found) as caught:
        read_volume(path)
    assert caught.value.exit_code == 2
    assert read_volume(path, series="2").hu.shape[0] == 9
    with pytest.raises(NoImagesError, match="series 1 has no CT slice"):
        read_volume(path, series="1")


@pytest.mark.parametrize(
    ("image_type", "why_not"),
    [
        (["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"], None),
        (["DERIVED", "SECONDARY", "OTHER", "CSA MPR"], None),
        (["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"], None),
        (["DERIVED", "SECONDARY", "AXIAL", "CT_SOM7 MIP", "THIN"], "projection"),
        (["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 VRT"], "projection"),
        (["DERIVED", "SECONDARY", "VOLUME", "MAX_IP"], "projection"),
        (["DERIVED", "SECONDARY", "PROJECTION IMAGE"], "projection"),
    ],
)
def test_parallel_axial_slices_are_a_scan_unless_they_are_projections(add, image_type, why_not):
    path = add(1, 9, ImageType=image_type)
    assert reasons(path) == {1: why_not}
    assert read_volume(path, series="1").hu.shape[0] == 9


def test_a_coronal_image_in_an_axial_series_is_set_aside_and_named(add, write_series):
    reformatted = {"SeriesNumber": 1, "ImageType": ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"]}
    path = add(1, 9, **reformatted)
    write_series([40.0], "lines", "study/1", ImageOrientationPatient=CORONAL,
                 SeriesInstanceUID=uid(1), **reformatted)  # fmt: skip
    volume = read_volume(path)
    assert volume.hu.shape[0] == 9
    (note,) = volume.notes
    assert "left out of the series: 1 x image of it, coronal beside the others: lines000.dcm" in note


def test_one_axial_image_does_not_make_a_coronal_series_axial(add, write_series):
    path = add(1, 9, ImageOrientationPatient=CORONAL)
    write_series([40.0], "axial", "study/1", SeriesNumber=1, SeriesInstanceUID=uid(1))
    with pytest.raises(NonAxialSeriesError, match="coronal"):
        read_volume(path)


def test_soft_tissue_comes_before_more_slices(add):
    add(1, 9, ConvolutionKernel="Bl57f")
    add(2, 4, ConvolutionKernel="Br38f")
    path = add(3, 6, ConvolutionKernel="XYZ")
    assert taken(path) == (2, "axial CT, soft tissue kernel")


def test_an_original_comes_before_a_derived_one(add):
    add(1, 9, ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    path = add(2, 4)
    assert taken(path) == (2, "axial CT, original")
    assert read_volume(path, series="1").hu.shape[0] == 9


def test_most_slices_decide_among_the_same_kernel(add):
    add(1, 4, ConvolutionKernel="B30f")
    path = add(2, 9, ConvolutionKernel="B30f")
    assert taken(path) == (2, "axial CT, most slices (9; the next has 4)")
    assert read_volume(path).notes == ()


def test_a_series_that_is_nearly_as_long_is_told(add):
    add(1, 19, SeriesDescription="arterial")
    path = add(2, 20, SeriesDescription="portal")
    volume = read_volume(path)
    assert volume.hu.shape[0] == 20
    (note,) = volume.notes
    assert "series 1 'arterial': 19 slices" in note
    assert "choose it with --series 1" in note


def test_a_tie_is_refused_with_the_flags_that_choose(add):
    add(1, 5, SeriesDescription="arterial")
    add(2, 5, SeriesDescription="portal")
    path = add(3, 2)
    found = r"'arterial'.*\(--series 1\); series 2 'portal'.*\(--series 2\)"
    with pytest.raises(AmbiguousSeriesError, match=found) as caught:
        read_volume(path)
    assert "series 3" not in str(caught.value)
    assert taken(path, series="1") == (1, "requested with --series")
    assert taken(path, series=uid(2))[0] == 2


def test_one_number_twice_has_to_be_chosen_by_uid(add):
    add(1, 5)
    path = add(2, 5, SeriesNumber=1)
    for series in (None, "1"):
        with pytest.raises(AmbiguousSeriesError, match=rf"--series {uid(1)}.*--series {uid(2)}"):
            read_volume(path, series=series)
    assert read_volume(path, series=uid(2)).hu.shape[0] == 5


def test_a_series_that_is_not_there_is_refused_with_those_that_are(add):
    path = add(4, 5)
    for name in ("9", "1.2.3", "arterial"):
        with pytest.raises(AmbiguousSeriesError, match=rf"there is no series {name}.*\(--series 4\)"):
            read_volume(path, series=name)


def test_two_studies_are_never_chosen_between(add):
    add(1, 3)
    path = add(2, 9, StudyInstanceUID="1.2.3")
    with pytest.raises(AmbiguousSeriesError, match="series of several studies"):
        read_volume(path)
    assert read_volume(path, series="1").hu.shape[0] == 3


def test_an_acquisition_number_tells_series_apart(add):
    add(1, 5, AcquisitionNumber=1)
    path = add(2, 5, AcquisitionNumber=2)
    assert taken(path, acquisition=2)[0] == 2
    with pytest.raises(AmbiguousSeriesError):
        taken(path, acquisition=3)


def test_several_acquisitions_of_a_chosen_series_need_both_flags(add, write_series):
    add(1, 5)
    path = add(2, 5)
    write_series([float(each) for each in range(5)], "later", "study/2", SeriesNumber=2,
                 SeriesInstanceUID=uid(2), AcquisitionNumber=2)  # fmt: skip
    with pytest.raises(AmbiguousAcquisitionError, match="with --series 2 --acquisition NUMBER"):
        read_volume(path, series="2")
    assert read_volume(path, series="2", acquisition=2).hu.shape[0] == 5


def test_an_only_series_that_cannot_be_read_says_why(add):
    path = add(1, 5, ImageOrientationPatient=CORONAL)
    with pytest.raises(NonAxialSeriesError, match="coronal"):
        read_volume(path)


def test_the_patients_name_is_not_repeated(add, caplog):
    path = add(1, 3, PatientName="MUSTERMANN^ERIKA", PatientID="4711",
               SeriesDescription="Abdomen Mustermann 4711", StudyDescription="ERIKA portal")  # fmt: skip
    (series,) = read_catalogue(path).series
    assert series.of.description == "Abdomen *** ***"
    assert series.of.study_description == "*** portal"
    with caplog.at_level(logging.DEBUG):
        read_volume(path)
    assert "ustermann" not in caplog.text


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        ("STANDARD", "soft tissue"), ("SOFT", "soft tissue"), ("BONEPLUS", "sharp"), ("LUNG", "sharp"),
        ("B30f", "soft tissue"), ("Br40d\\3", "soft tissue"), ("I31f", "soft tissue"), ("Bl57", "sharp"),
        ("B70s", "sharp"), ("Br64", "sharp"), ("FC08", "soft tissue"), ("FC18", "soft tissue"),
        ("FC51", "sharp"), ("FC30", "sharp"), ("B", "soft tissue"), ("YA", "sharp"), ("L", "sharp"),
        ("B_SOFT_B", "soft tissue"), ("", "unknown"), ("FBP", "unknown"),
    ],
)  # fmt: skip
def test_kernels_by_their_makers_names(kernel, kind):
    assert kernel_kind(kernel) == kind


@pytest.mark.parametrize(
    ("description", "kind"),
    [("Thorax LUNG 1.0", "sharp"), ("Abd_soft_3.0", "soft tissue"), ("Abdomen", "unknown")],
)
def test_a_description_stands_in_for_a_kernel(description, kind):
    assert kernel_kind("", description) == kind
    assert kernel_kind("STANDARD", description) == "soft tissue"


@pytest.mark.parametrize(
    ("words", "phase"),
    [
        ("ABD ARTERIAL 2.5", "arterial"), ("Abdomen_portal venous", "portal"), ("nephrographic", "nephrographic"),
        ("DELAYED 5 MIN", "excretory"), ("NON-CONTRAST", "unenhanced"), ("W/O", "unenhanced"),
        ("Abdomen nativ", "unenhanced"), ("LIVER 3 PHASE (AP)", None), ("ART + PORTAL", None),
        ("Part of ventral wall", None), ("", None),
    ],
)  # fmt: skip
def test_phases_by_words(words, phase):
    assert phase_from_words(words) == phase


def test_a_data_sets_reader_advises_no_option_for_a_single_scan(write_series, tmp_path):
    """A table of cases names a folder and an acquisition; `prepare` has no --series."""
    two = write_series([0, 5, 10], "a", "two", SeriesInstanceUID=generate_uid(), SeriesNumber=1)
    write_series([0, 5, 10], "b", "two", SeriesInstanceUID=generate_uid(), SeriesNumber=2)
    turns = write_series([0, 5, 10], "a", "turns", AcquisitionNumber=1)
    write_series([0, 5, 10], "b", "turns", AcquisitionNumber=2)
    gap = write_series([0, 5, 10, 25, 30], folder="gap")
    for folder in (two, turns, gap):
        with pytest.raises(InputError, match=r"name its folder in cases.csv") as told:
            read_scan(Case("a", "a", folder))
        assert "--" not in str(told.value)
    assert read_scan(Case("a", "a", turns, acquisition=2)).hu.shape[0] == 3
