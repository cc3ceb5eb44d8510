"""The built page in a real browser, from a plain server under a sub-path."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless
from tests.chromium import started_chromium
from tests.imaging.conftest import _write_slice
from tests.web.dicom_vectors import packed
from tests.web.site import WEB, OpenedPage, make, opened, served

import renalmap
from renalmap.imaging import Volume
from renalmap.imaging.nifti import read_nifti_label_map
from renalmap.imaging.nifti_writing import write_volume
from renalmap.measure import measure_label_map
from renalmap.phantom import PhantomConfig, make_phantom

PHANTOM = PhantomConfig(shape_zyx=(20, 256, 256), spacing_mm_zyx=(6.0, 1.5, 1.5))
"""Small, so that it is soon read; the networks see it on their own grid."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started_chromium() as browser:
        yield browser


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
def scan() -> Volume:
    return make_phantom(PHANTOM, np.random.default_rng(3)).scan


@pytest.fixture(scope="module")
def phantom(scan, tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("phantom") / "phantom.nii.gz"
    write_volume(scan, path)
    return path


def test_labels_and_volumes_are_pythons_and_the_page_is_usable(page, scan, phantom, tmp_path):
    page.drop(phantom)
    assert page.error is None
    here = read_nifti_label_map(page.save("#label-map", tmp_path / "labels.nii.gz"))
    numbers = json.loads(page.save("#numbers", tmp_path / "numbers.json").read_text())
    there = renalmap.segment(phantom).label_map
    assert here.geometry.matches(there.geometry)
    foreground = np.count_nonzero(there.labels)
    assert foreground > 5_000
    assert np.count_nonzero(here.labels != there.labels) <= 1e-4 * foreground
    measured = measure_label_map(there, scan)
    assert [each["side"] for each in numbers["kidneys"]] == ["left", "right"]
    for name in ("parenchyma_ml", "tumour_ml", "length_mm"):
        expected = [getattr(each, name) for each in measured.kidneys]
        assert [each[name] for each in numbers["kidneys"]] == pytest.approx(expected, rel=1e-3)
    assert page.page.locator("#numbers-table tr").count() == len(numbers["kidneys"] + numbers["tumours"])
    check_viewer(page)


def check_viewer(page: OpenedPage) -> None:
    """The picture answers the keyboard."""
    page.page.focus("#canvas")
    first = page.page.inner_text("#place")
    assert first.startswith("axial slice")
    page.page.keyboard.press("ArrowUp")
    assert page.page.inner_text("#place") != first
    with_labels = page.picture()
    page.page.keyboard.press("m")
    assert page.picture() != with_labels
    page.page.keyboard.press("c")
    assert re.match(r"coronal slice \d+ of 256", page.page.inner_text("#place"))


@pytest.mark.parametrize(("syntax", "zipped"), [(JPEGLSLossless, True), (JPEG2000Lossless, False)])
def test_compressed_dicom_is_read_bit_for_bit(page, scan, tmp_path, syntax, zipped):
    """A piece in which there is nothing to find: what counts is that no value differs."""
    hu = scan.hu[:4, 96:160, 60:140]
    for number, plane in enumerate(hu):
        path = _write_slice(
            tmp_path / "ct" / f"{number}.dcm",
            3.0 * number,
            (plane + 1024).astype(np.uint16),
            RescaleIntercept=-1024,
            PixelSpacing=[0.9, 0.9],
            BitsStored=12,
            HighBit=11,
        )
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(path, enforce_file_format=True)
    files = [packed(tmp_path / "ct")] if zipped else sorted((tmp_path / "ct").iterdir())
    page.drop(*files)
    assert page.error is None
    numbers = json.loads(page.save("#numbers", tmp_path / "numbers.json").read_text())
    assert numbers["shape_zyx"] == list(hu.shape)
    assert numbers["hu"] == {"lowest": hu.min(), "highest": hu.max(), "mean": hu.mean()}


def test_what_cannot_be_used_is_named_and_the_page_goes_on(page, phantom, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("nothing of this kind")
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(phantom.read_bytes()[:-500])
    archive = tmp_path / "broken.zip"
    archive.write_bytes(b"PK\x03\x04 and no more")
    for files, words in (
        ((text,), "no scan in what was dropped"),
        ((cut,), "cut.nii.gz: the file is truncated or damaged"),
        ((archive,), "broken.zip: the archive is damaged"),
        ((phantom, cut), "these are several scans"),
    ):
        page.drop(*files)
        assert words in (page.error or "")
    page.page.set_input_files("#file", str(phantom))
    page.page.click("#cancel")
    assert not page.page.is_visible("#work")
    assert page.error is None
    page.drop(text)
    assert page.error is not None


def test_it_works_without_a_network_after_the_first_visit(page, tmp_path):
    page.page.evaluate("() => navigator.serviceWorker.ready.then(() => undefined)")
    page.page.wait_for_function("() => navigator.serviceWorker.controller !== null")
    page.page.context.set_offline(True)
    page.page.reload()
    small = tmp_path / "small.nii"
    nib.save(
        nib.Nifti1Image(np.full((32, 32, 3), -1000, np.int16), np.diag([2.0, 2.0, 5.0, 1.0])), small
    )
    page.drop(small)
    assert page.error is None
    assert "no kidney was found" in page.page.inner_text("#notes")


@pytest.mark.parametrize("width", [390, 1600])
def test_nothing_keeps_anybody_from_using_it(page, tmp_path, width):
    """By axe-core's rules; and nothing is wider than a phone's screen."""
    page.page.set_viewport_size({"width": width, "height": 900})
    small = tmp_path / "small.nii"
    nib.save(
        nib.Nifti1Image(np.full((32, 32, 3), -1000, np.int16), np.diag([2.0, 2.0, 5.0, 1.0])), small
    )
    page.drop(small)
    page.page.evaluate((WEB / "node_modules/axe-core/axe.min.js").read_text())
    found = page.page.evaluate("() => axe.run().then((result) => result.violations)")
    assert [(each["id"], each["impact"]) for each in found] == []
    assert page.page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_no_worker_may_speak_to_another_host(browser, address):
    """The page's policy holds in its workers, though the server sends none."""
    with served(WEB / "dist") as other, opened(browser, address) as page:
        page.page.wait_for_load_state()
        answer = page.page.evaluate(
            """(url) => new Promise((resolve) => {
              const source = `fetch("${url}", {mode: "no-cors"}).then(() => postMessage("reached"), () => postMessage("refused"))`;
              const worker = new Worker(URL.createObjectURL(new Blob([source])));
              worker.onmessage = ({ data }) => resolve(data);
            })""",
            other,
        )
        assert answer == "refused"
        page.messages.clear()  # browsers say so, not all of them here
