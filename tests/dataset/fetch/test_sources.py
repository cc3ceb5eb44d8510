from __future__ import annotations

import pytest

from renalmap.dataset.fetch.sources import Mirrors, list_files, parse_cases
from renalmap.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0-2,160", (0, 1, 2, 160)), (" 7 , 3-4 ,3", (3, 4, 7)), ("209", (209,)), ("00005", (5,))],
)
def test_cases_are_numbers_and_ranges(text, numbers):
    assert parse_cases(text, "kits19") == numbers


def test_without_cases_all_that_have_a_mask_are_meant():
    assert [len(parse_cases("", name)) for name in ("kits19", "kits21", "kits23")] == [210, 300, 489]


def test_a_range_passes_over_numbers_that_are_no_cases():
    assert parse_cases("298-401", "kits23") == (298, 299, 400, 401)


@pytest.mark.parametrize("text", ["a", "1-", "3-1", "1,,2", "-4", "1.5", "1;2"])
def test_what_is_no_list_of_cases_is_told_so(text):
    with pytest.raises(ConfigError, match=r"not a list of case numbers.*0-9,160"):
        parse_cases(text, "kits19")


@pytest.mark.parametrize(("text", "missing"), [("210", 210), ("0-299", 299), ("5,12345", 12345)])
def test_a_case_that_does_not_exist_is_named(text, missing):
    with pytest.raises(ConfigError, match=f"no case {missing} .*0 to 209"):
        parse_cases(text, "kits19")


def test_official_places():
    table, mask, imaging = list_files("kits19", (7,), Mirrors(), masks_only=False)
    assert table.path == "data/kits.json"
    assert mask.path == "data/case_00007/segmentation.nii.gz"
    assert imaging.path == "data/case_00007/imaging.nii.gz"
    github = "https://raw.githubusercontent.com/neheller"
    assert table.url == f"{github}/kits19/master/data/kits.json"
    assert mask.url == f"{github}/kits19/master/data/case_00007/segmentation.nii.gz"
    assert imaging.url == (
        "https://huggingface.co/datasets/neheller/KiTS-Challenge-Imaging/resolve/main"
        "/images/case_00007.nii.gz"
    )
    table, mask, _ = list_files("kits23", (588,), Mirrors(), masks_only=False)
    assert table.url == f"{github}/kits23/main/dataset/kits23.json"
    assert mask.url == f"{github}/kits23/main/dataset/case_00588/segmentation.nii.gz"
    assert mask.path == "data/case_00588/segmentation.nii.gz"
    (_, mask) = list_files("kits21", (0,), Mirrors(), masks_only=True)
    assert mask.url == f"{github}/kits21/master/kits21/data/case_00000/aggregated_MAJ_seg.nii.gz"


def test_a_mirror_serves_what_fetch_writes_whatever_the_data_set():
    for name in ("kits19", "kits21", "kits23"):
        for file in list_files(name, (1,), Mirrors("http://mirror/kits/"), masks_only=False):
            assert file.url == f"http://mirror/kits/{file.path}"


def test_one_part_may_come_from_elsewhere():
    mirrors = Mirrors("http://mirror", imaging="https://proxy/hf/")
    _, mask, imaging = list_files("kits23", (1,), mirrors, masks_only=False)
    assert mask.url == "http://mirror/data/case_00001/segmentation.nii.gz"
    assert imaging.url == "https://proxy/hf/images/case_00001.nii.gz"


@pytest.mark.parametrize("url", ["mirror.example", "ftp://mirror", "/srv/kits", "http://"])
def test_a_mirror_that_is_no_address_is_refused(url):
    with pytest.raises(ConfigError, match="http://"):
        list_files("kits19", (0,), Mirrors(url), masks_only=False)


def test_a_password_is_not_shown():
    _, mask = list_files("kits19", (0,), Mirrors("https://me:secret@mirror/k"), masks_only=True)
    assert "secret" in mask.url
    assert mask.shown_url == "https://mirror/k/data/case_00000/segmentation.nii.gz"
