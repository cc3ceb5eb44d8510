"""A body of water with two kidneys in it, and ways to look at the pictures drawn of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from renalmap.anatomy import Anatomy
from renalmap.api.report import exophytic_parts
from renalmap.imaging.volume import Geometry, LabelMap, SourceGrid, Volume
from renalmap.measure import measure_label_map
from renalmap.nephrometry import score_anatomy
from renalmap.report.html import Names, ReportContents

SPACING_MM = (4.0, 2.0, 2.0)

Pixels = NDArray[np.uint8]


def geometry(shape: tuple[int, int, int]) -> Geometry:
    """A grid with axes pointing S, P, L."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = 4.0, -2.0, -2.0, 1.0
    return Geometry(shape, SPACING_MM, affine, SourceGrid(shape, affine))


def body(depth: int = 40) -> NDArray[np.int16]:
    """Air with an elliptic cylinder of soft tissue."""
    rows, columns = np.indices((100, 140))
    inside = ((rows - 50) / 40) ** 2 + ((columns - 70) / 60) ** 2 < 1
    return np.broadcast_to(np.where(inside, 30, -1000), (depth, 100, 140)).astype(np.int16)


def kidneys(depth: int = 40) -> NDArray[np.uint8]:
    """Two kidneys at different heights; the right one has a tumour around slice 25."""
    labels = np.zeros((depth, 100, 140), dtype=np.uint8)
    labels[14:30, 55:70, 30:48] = 1
    labels[18:34, 52:68, 92:110] = 1
    labels[22:28, 60:68, 26:36] = 2
    return labels


@pytest.fixture
def scan() -> Volume:
    """The body as a scan of 40 slices."""
    return Volume(body(), geometry((40, 100, 140)), "phantom")


@pytest.fixture
def labels() -> LabelMap:
    """Its kidneys."""
    return LabelMap(kidneys(), geometry((40, 100, 140)), "phantom_seg")


@pytest.fixture
def read_png() -> Callable[[Path], Pixels]:
    """Read a PNG as uint8 (row, column, RGB)."""

    def read(path: Path) -> Pixels:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            return np.asarray(picture.convert("RGB"))

    return read


@pytest.fixture
def near() -> Callable[[Pixels, str], NDArray[np.bool_]]:
    """Which pixels have a colour, give or take antialiasing."""

    def match(pixels: Pixels, colour: str) -> NDArray[np.bool_]:
        wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
        return np.asarray(np.abs(pixels.astype(int) - wanted).max(axis=-1) <= 12)

    return match


@pytest.fixture(scope="session")
def contents() -> ReportContents:
    """A report's contents: the body with noise, its kidneys and a tumour, measured."""
    noise = np.random.default_rng(5).normal(0, 8, (40, 100, 140))
    hu = np.where(kidneys() > 0, 150, body()) + np.where(body() > -500, noise, 0)
    scan = Volume(hu.astype(np.int16), geometry((40, 100, 140)), "phantom")
    labels = LabelMap(kidneys(), geometry((40, 100, 140)), "phantom_seg")
    return ReportContents(
        scan=scan,
        labels=labels,
        measurements=measure_label_map(labels, scan),
        made_on=date(2026, 3, 1),
        names=Names("phantom", Path("/data/phantom.nii.gz"), Path("/data/phantom_seg.nii.gz")),
    )


@pytest.fixture(scope="session")
def scored(contents: ReportContents) -> ReportContents:
    """The same with its tumour scored."""
    anatomy = Anatomy.of(contents.labels, contents.scan)
    return replace(contents, nephrometry=score_anatomy(anatomy), exophytic=exophytic_parts(anatomy))
