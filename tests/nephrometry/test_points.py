"""Every threshold of both tables on both sides, and how firm a point is called."""

from __future__ import annotations

import pytest

from renalmap.nephrometry.points import (
    Item,
    Measured,
    Row,
    add_up,
    assess,
    exophytic_row,
    face_row,
    nearness_row,
    not_assessable,
    size_row,
)


@pytest.mark.parametrize(
    ("mm", "renal", "padua"),
    [(1.0, 1, 1), (40.0, 1, 1), (40.1, 2, 2), (69.9, 2, 2), (70.0, 3, 2), (70.1, 3, 3), (150.0, 3, 3)],
)
def test_size(mm, renal, padua):
    """R counts 7 cm itself as large, PADUA does not."""
    assert size_row(mm, seven_is_large=True).points == renal
    assert size_row(mm, seven_is_large=False).points == padua


@pytest.mark.parametrize(
    ("share", "bare", "points"),
    [
        (1.0, 1.0, 1),
        (0.5, 0.5, 1),
        (0.499, 0.5, 2),
        (0.021, 0.0, 2),
        (0.02, 0.151, 2),
        (0.02, 0.15, 3),
        (0.0, 0.0, 3),
    ],
)
def test_exophytic_share(share, bare, points):
    assert exophytic_row(share, bare).points == points


@pytest.mark.parametrize(("mm", "points"), [(0.0, 3), (4.0, 3), (4.1, 2), (6.9, 2), (7.0, 1), (30.0, 1)])
def test_nearness(mm, points):
    assert nearness_row(mm).points == points


@pytest.mark.parametrize(
    ("share", "letter"), [(1.0, "a"), (0.67, "a"), (0.66, "x"), (0.34, "x"), (0.33, "p"), (0.0, "p")]
)
def test_face(share, letter):
    assert face_row(share).letter == letter


N = Item("N", "distance to the sinus")


def near(value_mm, voxel_mm=0.8):
    def rows(move):
        return [nearness_row(value_mm + by) for by in ((0.0,) if move == 0.0 else (-move, move))]

    return assess(N, Measured(value_mm, voxel_mm), rows)


def test_a_point_far_from_any_limit_is_firm():
    found = near(20.0)
    assert (found.points, found.confidence, found.edge) == (1, "high", None)
    assert (found.points_one_voxel, found.points_2_mm) == ((1, 1), (1, 1))


def test_a_point_within_2_mm_of_a_limit_is_on_the_edge():
    found = near(8.5)
    assert (found.points, found.confidence) == (1, "moderate")
    assert (found.points_one_voxel, found.points_2_mm) == ((1, 1), (1, 2))
    assert found.edge == "within 2 mm of: > 4 and < 7 mm, which gives 2 points"


def test_a_point_within_a_voxel_of_a_limit_is_not_firm():
    found = near(6.4)
    assert (found.points, found.confidence) == (2, "low")
    assert (found.points_one_voxel, found.points_2_mm) == ((1, 2), (1, 2))
    assert found.edge == "within one voxel (0.8 mm) of: >= 7 mm, which gives 1 point"


def test_what_was_assumed_is_not_firm():
    found = assess(
        N, Measured(20.0, 0.8, assumed="the sinus is not seen"), lambda _: [Row(">= 7 mm", 1)]
    )
    assert (found.confidence, found.note) == ("low", "the sinus is not seen")


def scored(item, points):
    return assess(item, Measured(0.0, 1.0), lambda _: [Row("", points)])


def renal(*points):
    items = [Item(code, code) for code in "RENL"]
    face = Item("A", "A", most=0)
    found = [
        (
            item,
            not_assessable(item, "the upper pole lies outside the scan")
            if point is None
            else scored(item, point),
        )
        for item, point in zip(items, points, strict=True)
    ]
    letter = assess(face, Measured(0.0, 1.0), lambda _: [Row("", letter="p")])
    return add_up("R.E.N.A.L.", [*found, (face, letter)])


@pytest.mark.parametrize(
    ("points", "text", "risk"),
    [
        ((1, 1, 1, 1), "4p", "low"),
        ((3, 1, 1, 1), "6p", "low"),
        ((3, 2, 1, 1), "7p", "moderate"),
        ((3, 3, 2, 1), "9p", "moderate"),
        ((3, 3, 3, 1), "10p", "high"),
        ((3, 3, 3, 3), "12p", "high"),
    ],
)
def test_totals_have_a_class(points, text, risk):
    score = renal(*points)
    assert (score.text, score.total, score.risk) == (text, sum(points), risk)


def test_there_is_no_total_of_incomplete_components():
    score = renal(2, None, 1, None)
    assert (score.total, score.risk, score.total_range) == (None, None, (5, 9))
    assert score.text == "at least 5, at most 9: E, L not assessable"


@pytest.mark.parametrize(
    ("total", "risk"), [(6, "low"), (7, "low"), (8, "moderate"), (9, "moderate"), (10, "high")]
)
def test_padua_has_other_classes(total, risk):
    item = Item("size", "size", most=14)
    assert add_up("PADUA", [(item, scored(item, total))]).risk == risk
