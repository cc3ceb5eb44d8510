"""The built page in a real browser, from a plain server under a sub-path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.report.test_browser import ARGUMENTS, CHROMIUM
from tests.web.site import WEB, OpenedPage, make, opened, served

import renalmap
from renalmap.imaging.nifti import read_nifti_label_map
from renalmap.imaging.nifti_writing import write_volume
from renalmap.labels import KIDNEY, TUMOUR
from renalmap.phantom import PhantomConfig, make_phantom

PHANTOM = PhantomConfig(shape_zyx=(20, 512, 512), spacing_mm_zyx=(6.0, 0.75, 0.75))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs chromium, which is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(browser) -> Iterator[str]:
    make("web")
    with served(WEB / "dist") as address:
        yield address


@pytest.fixture
def page(browser, address) -> Iterator[OpenedPage]:
    with opened(browser, address) as page:
        yield page


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("phantom") / "phantom.nii.gz"
    write_volume(make_phantom(PHANTOM, np.random.default_rng(3)).scan, path)
    return path


def test_labels_and_volumes_are_pythons(page, phantom, tmp_path):
    page.drop(phantom)
    assert page.error is None
    here = read_nifti_label_map(page.save("#label-map", tmp_path / "labels.nii.gz"))
    numbers = json.loads(page.save("#numbers", tmp_path / "numbers.json").read_text())
    there = renalmap.segment(phantom).label_map
    assert here.geometry.matches(there.geometry)
    foreground = np.count_nonzero(there.labels)
    assert foreground > 10_000
    assert np.count_nonzero(here.labels != there.labels) <= 1e-4 * foreground
    for name, label in (("kidney", KIDNEY), ("tumour", TUMOUR)):
        assert numbers["volumes_ml"][name] == pytest.approx(there.volume_ml(label), rel=1e-3)
