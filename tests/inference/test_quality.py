"""Every quality flag on volumes whose answer is known by construction."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from renalmap.anatomy import Anatomy, raise_flags
from renalmap.bundle import CalibrationCurve, ConfidenceCalibration
from renalmap.imaging import LabelMap, Volume, build_geometry
from renalmap.inference.cascade import Segmentation
from renalmap.inference.components import DroppedComponent
from renalmap.inference.probability import RegionProbability
from renalmap.inference.quality import QualityReport, assess_quality, describe_quality

BLOOD_HU, KIDNEY_HU = 40, 170


@dataclass
class Case:
    """A body of muscle in air, with boxes of kidney and tumour in it; axes (z, y, x)."""

    shape: tuple[int, int, int] = (20, 80, 120)
    spacing_mm: tuple[float, float, float] = (4.0, 2.0, 2.0)
    body_x: tuple[int, int] = (10, 110)
    labels: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        self.labels = np.zeros(self.shape, np.uint8)

    def put(self, label: int, z: slice, y: slice, x: slice) -> Case:
        self.labels[z, y, x] = label
        return self

    def hu(self) -> NDArray[np.int16]:
        hu = np.full(self.shape, -1000, np.int16)
        hu[:, 10:70, slice(*self.body_x)] = BLOOD_HU
        hu[self.labels > 0] = KIDNEY_HU
        return hu

    @property
    def anatomy(self) -> Anatomy:
        z_mm, y_mm, x_mm = self.spacing_mm
        affine = np.zeros((4, 4))
        affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = z_mm, -y_mm, -x_mm, 1.0
        geometry = build_geometry(self.shape, affine)
        return Anatomy.of(LabelMap(self.labels, geometry), Volume(self.hu(), geometry))

    def assess(
        self,
        probability: float = 1.0,
        calibration: ConfidenceCalibration | None = None,
        notes: tuple[str, ...] = (),
        dropped: tuple[DroppedComponent, ...] = (),
    ) -> QualityReport:
        anatomy, certain = self.anatomy, round(255 * probability)
        assert anatomy.body is not None
        found = Segmentation(
            anatomy.label_map,
            dropped,
            {},
            {
                "kidney": RegionProbability((0, 0, 0), (self.labels > 0).astype(np.uint8) * certain),
                "tumour": RegionProbability((0, 0, 0), (self.labels == 2).astype(np.uint8) * certain),
            },
            anatomy.body,
            notes=notes,
        )
        return assess_quality(anatomy, found, calibration)

    def told(self, report: QualityReport) -> list[str]:
        return describe_quality(report, self.anatomy)


def both_kidneys(**settings) -> Case:
    """The right one with x from 20, the left one from 80; two voxels of body and more on every side."""
    case = Case(**settings)
    case.put(1, slice(5, 15), slice(30, 50), slice(20, 40))
    return case.put(1, slice(6, 16), slice(30, 50), slice(80, 100))


# Left and right.


def test_two_whole_kidneys_raise_no_flag():
    case = both_kidneys()
    report = case.assess()
    assert report.flags == []
    assert case.told(report) == []
    left, right = report.kidneys
    assert (left.side, right.side) == ("left", "right")
    assert left.kidney_ml == right.kidney_ml == pytest.approx(10 * 20 * 20 * 16 / 1000)
    assert (left.components, left.borders, left.incomplete) == (1, [], False)


def test_volumes_are_in_ml_on_unequal_spacing():
    case = both_kidneys(spacing_mm=(5.0, 0.8, 0.7))
    case.put(2, slice(7, 10), slice(32, 36), slice(82, 90))
    left = case.assess().kidneys[0]
    voxel_ml = 5.0 * 0.8 * 0.7 / 1000
    assert left.tumour_ml == pytest.approx(96 * voxel_ml, abs=0.005)
    assert left.kidney_ml == pytest.approx((4000 - 96) * voxel_ml, abs=0.005)


@pytest.mark.parametrize(("x", "side"), [(20, "right"), (80, "left")])
def test_one_kidney_alone_is_said(x, side):
    case = Case().put(1, slice(5, 15), slice(30, 50), slice(x, x + 20))
    report = case.assess()
    assert report.flags == ["only_one_kidney_found"]
    assert report.kidneys_found.model_dump() == {"left": side == "left", "right": side == "right"}
    (text,) = case.told(report)
    assert text.startswith(f"only the {side} kidney was found")


def test_the_bodys_middle_decides_and_not_the_images():
    """The body fills the picture's patient-left half; both kidneys lie beyond the picture's middle."""
    case = Case(body_x=(64, 118))
    case.put(1, slice(5, 15), slice(30, 50), slice(68, 80))
    case.put(1, slice(5, 15), slice(30, 50), slice(100, 112))
    report = case.assess()
    assert report.kidneys_found.model_dump() == {"left": True, "right": True}
    lone = Case(body_x=(64, 118)).put(1, slice(5, 15), slice(30, 50), slice(68, 80)).assess()
    assert lone.kidneys_found.model_dump() == {"left": False, "right": True}


def test_a_tumour_that_leans_over_the_midline_stays_with_its_kidney():
    case = both_kidneys()
    case.put(2, slice(6, 16), slice(30, 50), slice(58, 80))  # 22 wide, one of them beyond the middle
    report = case.assess()
    assert "crosses_midline" not in report.flags
    left, right = report.kidneys
    assert left.tumour_ml == pytest.approx(10 * 20 * 22 * 0.016)
    assert right.tumour_ml == 0.0
    assert report.tumours[0].side == "left"


def test_a_horseshoe_is_shared_out_by_the_midline():
    case = both_kidneys().put(1, slice(8, 10), slice(40, 44), slice(40, 80))
    report = case.assess()
    assert report.flags == ["crosses_midline"]
    assert report.kidneys_found.model_dump() == {"left": True, "right": True}
    left, right = report.kidneys
    assert left.crosses_midline
    assert right.crosses_midline
    assert left.kidney_ml == right.kidney_ml == pytest.approx((4000 + 160) * 0.016)
    (text,) = case.told(report)
    assert "horseshoe" in text
    assert left.confidence == pytest.approx(1.0)


def test_components_of_a_side_are_counted_together():
    case = both_kidneys().put(1, slice(5, 8), slice(55, 60), slice(85, 95))
    left, right = case.assess().kidneys
    assert (left.components, right.components) == (2, 1)
    assert left.kidney_ml == pytest.approx((4000 + 150) * 0.016)


# What the scan cuts off.


@pytest.mark.parametrize(
    ("place", "border", "words"),
    [
        ((slice(0, 9), slice(30, 50), slice(80, 100)), "feet", "first slice"),
        ((slice(11, 20), slice(30, 50), slice(80, 100)), "head", "last slice"),
        ((slice(5, 15), slice(0, 20), slice(80, 100)), "front", "front edge"),
        ((slice(5, 15), slice(60, 80), slice(80, 100)), "back", "back edge"),
        ((slice(5, 15), slice(30, 50), slice(100, 120)), "left", "left edge"),
    ],
)
def test_a_kidney_that_the_scan_cuts_is_incomplete(place, border, words):
    case = Case().put(1, slice(5, 15), slice(30, 50), slice(20, 40)).put(1, *place)
    report = case.assess()
    assert report.flags == ["kidney_incomplete"]
    left, right = report.kidneys
    assert (left.borders, left.incomplete) == ([border], True)
    assert (right.borders, right.incomplete) == ([], False)
    assert case.told(report) == [
        f"the left kidney is truncated ({words}): its measurements are lower bounds"
    ]


def test_a_kidney_at_the_pictures_right_edge_is_the_right_one():
    case = both_kidneys(body_x=(0, 110)).put(1, slice(5, 15), slice(30, 50), slice(0, 20))
    left, right = case.assess().kidneys
    assert (left.borders, right.borders) == ([], ["right"])


def test_a_speck_at_the_border_does_not_cut_a_kidney():
    case = both_kidneys().put(1, slice(0, 1), slice(30, 34), slice(80, 84))
    left, _ = case.assess().kidneys
    assert (left.components, left.borders) == (2, [])


def test_only_the_half_of_a_horseshoe_that_is_cut_is_incomplete():
    case = both_kidneys().put(1, slice(8, 10), slice(40, 44), slice(40, 80))
    case.put(1, slice(0, 6), slice(30, 50), slice(80, 100))
    left, right = case.assess().kidneys
    assert (left.borders, right.borders) == (["feet"], [])


def test_one_slice_touches_both_ends():
    case = Case(shape=(1, 80, 120))
    case.put(1, slice(0, 1), slice(30, 50), slice(20, 40)).put(
        1, slice(0, 1), slice(30, 50), slice(80, 100)
    )
    report = case.assess()
    assert [kidney.borders for kidney in report.kidneys] == [["feet", "head"]] * 2
    assert report.contrast.vessel_hu is None
    assert (report.contrast.contrast, report.contrast.phase) == ("enhanced", "unknown")


# Nothing found, nothing to see.


def test_an_empty_segmentation():
    report = Case().assess()
    assert (report.kidneys, report.tumours, report.tumour_specks) == ([], [], 0)
    assert report.kidneys_found.model_dump() == {"left": False, "right": False}
    assert "no_kidney_found" in report.flags
    assert report.contrast.kidney_hu is None


def test_a_scan_without_a_body_falls_back_on_its_own_middle():

    class OfAir(Case):
        def hu(self) -> NDArray[np.int16]:
            return np.full(self.shape, -1000, np.int16)

    report = OfAir().put(1, slice(5, 15), slice(30, 50), slice(80, 100)).assess()
    assert report.kidneys_found.model_dump() == {"left": True, "right": False}


def test_a_table_does_not_move_the_midline():
    """A table wider than the patient, and off to the patient's left."""

    class OnTable(Case):
        def hu(self) -> NDArray[np.int16]:
            hu = super().hu()
            hu[:, 74:77, 40:120] = 190
            return hu

    case = OnTable(body_x=(10, 90)).put(1, slice(5, 15), slice(30, 50), slice(52, 62))
    assert case.assess().kidneys[0].side == "left"


def test_notes_are_passed_on():
    assert both_kidneys().assess(notes=("a note",)).notes == ["a note"]


# Confidence.


def test_confidence_falls_with_the_probabilities():
    scores = [both_kidneys().assess(probability).kidneys[0].raw_score for probability in (1, 0.8, 0.5)]
    assert scores[0] == 1.0
    assert scores[1] == pytest.approx(2 * 0.8 / 1.8, abs=0.003)
    assert scores[2] == pytest.approx(2 * 0.5 / 1.5, abs=0.003)


def test_a_small_tumour_is_believed_less_than_a_large_one():
    case = both_kidneys()
    case.put(2, slice(6, 12), slice(30, 40), slice(80, 90)).put(
        2, slice(8, 9), slice(40, 42), slice(25, 29)
    )
    large, small = case.assess(0.9).tumours
    assert (large.side, small.side) == ("left", "right")
    assert large.tumour_ml == pytest.approx(9.6)
    assert (large.slice, small.slice) == (8, 8)
    assert large.raw_score == pytest.approx(0.9 * 9.6 / 10.6, abs=0.003)
    assert small.raw_score == pytest.approx(0.9 * 0.128 / 1.128, abs=0.003)


def test_specks_of_tumour_are_counted_and_not_listed():
    case = both_kidneys()
    for x in (82, 86, 90):
        case.put(2, slice(8, 9), slice(40, 41), slice(x, x + 1))
    report = case.assess()
    assert (report.tumours, report.tumour_specks) == ([], 3)
    assert report.kidneys[0].tumour_ml == 0.0, "as in the measurements, specks are in no volume"


def test_a_calibration_maps_the_raw_scores():
    case = both_kidneys().put(2, slice(6, 12), slice(30, 40), slice(80, 90))
    calibration = ConfidenceCalibration(
        kidney=CalibrationCurve(raw=(0.5, 1.0), confidence=(0.3, 0.9), n=60),
        tumour=CalibrationCurve(raw=(0.2,), confidence=(0.4,), n=25),
        patients=31,
    )
    report = case.assess(1.0, calibration)
    assert report.kidneys[0].confidence == pytest.approx(0.9)
    assert report.tumours[0].confidence == pytest.approx(0.4)
    assert report.tumours[0].raw_score > 0.8
    assert report.kidney_confidence_calibrated
    assert report.tumour_confidence_calibrated
    assert (report.calibration_patients, report.calibration_kidneys, report.calibration_tumours) == (
        31,
        60,
        25,
    )


def test_an_unenhanced_scan_has_raw_scores_and_no_confidence():
    class Unenhanced(Case):
        """With a spine, so that the dark blood in front of it can be seen; muscle elsewhere."""

        def hu(self) -> NDArray[np.int16]:
            hu = super().hu()
            hu[self.labels > 0] = 30
            hu[:, 55:68:2, 55:65] = 400
            return hu

    case = Unenhanced().put(1, slice(5, 15), slice(30, 50), slice(20, 40))
    case.put(1, slice(5, 15), slice(30, 50), slice(80, 84))
    case.put(2, slice(5, 15), slice(30, 50), slice(84, 100))
    report = case.assess()
    assert report.contrast.contrast == "unenhanced"
    assert report.flags == ["no_contrast_phase_recognised"]
    (text,) = case.told(report)
    assert text.startswith(
        "no contrast phase was recognised: the scan looks unenhanced (blood about 40 HU)"
    )
    assert [kidney.confidence for kidney in report.kidneys] == [None, None]
    assert [kidney.raw_score for kidney in report.kidneys] == [1.0, 1.0]
    assert report.tumours[0].confidence is None
    assert report.tumours[0].raw_score > 0.9


def test_the_report_survives_json():
    case = both_kidneys().put(2, slice(6, 12), slice(30, 40), slice(80, 90))
    report = case.assess(0.7)
    assert QualityReport.model_validate_json(report.model_dump_json()) == report


def test_the_cascades_notes_are_told():
    case = both_kidneys()
    report = case.assess()
    noted = report.model_copy(update={"notes": ["three kidney-sized components: all are kept"]})
    assert case.told(noted) == ["three kidney-sized components: all are kept"]


# What may be missed, and what may be none.


def test_what_was_left_out_is_told_from_1_ml():
    case = both_kidneys()
    ends = ((7.0, 35.0, 90.0), (9.0, 40.0, 95.0))
    small, large = (
        DroppedComponent(ml, (8.0, 37.0, 92.5), "volume too small", ends) for ml in (0.99, 7.2)
    )
    report = case.assess(dropped=(small, large))
    assert report.flags == ["candidate_left_out"]
    (told,) = report.candidates
    assert (told.volume_ml, told.slice, told.side, told.box_zyx) == (7.2, 8, "left", ends)
    assert told.slice_names is not None
    assert told.slice_names.number == 9
    assert case.told(report) == [
        "left out as mistakes, look whether they are: 7.2 ml (left, slice 9: volume too small)"
    ]
    many = case.assess(dropped=(large,) * 7)
    assert case.told(many)[0].endswith(" and 3 smaller")


def test_a_tumour_that_may_be_none_is_doubtful():
    case = both_kidneys().put(2, slice(7, 12), slice(32, 40), slice(82, 90))
    assert case.assess(probability=0.9).flags == []
    report = case.assess(probability=0.5)
    assert report.flags == ["lesion_doubtful"]
    assert report.tumours[0].doubtful
    assert "is doubtful: the model's score for it is 0.4" in case.told(report)[0]


def test_an_outline_is_usual_or_not_beside_the_models_others():
    curve = CalibrationCurve(raw=(0.2, 0.6, 0.9), confidence=(0.5, 0.9, 0.95), n=30)
    calibration = ConfidenceCalibration(kidney=curve, patients=10)
    case = both_kidneys()
    assert {kidney.agreement for kidney in case.assess(1.0, calibration).kidneys} == {"usual"}
    assert {kidney.agreement for kidney in case.assess(0.2, calibration).kidneys} == {"lower than usual"}
    assert {kidney.agreement for kidney in case.assess(1.0).kidneys} == {None}


def test_a_tumour_as_dark_as_fluid_is_told_where_values_are_hu():
    case = both_kidneys().put(2, slice(7, 12), slice(32, 40), slice(82, 90))
    whole = case.anatomy
    assert whole.scan is not None
    dark = np.where(case.labels == 2, 12, whole.scan.hu).astype(np.int16)
    for hu, expected in (
        (dark, ["tumour 1 is as dark as fluid (12 HU): it may be a cyst"]),
        (np.clip(dark, 0, 255), []),
        (whole.scan.hu, []),
    ):
        anatomy = Anatomy.of(whole.label_map, Volume(hu, whole.label_map.geometry))
        texts = [flag.text for flag in raise_flags(anatomy) if flag.code == "lesion_like_fluid"]
        assert texts == expected
