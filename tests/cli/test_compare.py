"""`renalmap compare` as users run it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.api.series import write_series
from tests.followup.scene import Ball, Patient

SPACING_MM = (5.0, 3.0, 3.0)
BEFORE = Patient(
    (Ball("left", (-22.0, 0.0, 18.0), 11.0), Ball("right", (20.0, 5.0, 0.0), 9.0)), spacing_mm=SPACING_MM
)
AFTER = Patient(
    (Ball("left", (-22.0, 0.0, 18.0), 15.0), Ball("left", (-10.0, 10.0, -30.0), 8.0)),
    spacing_mm=SPACING_MM,
)


@pytest.fixture
def pair(write_scan, tmp_path):
    return tuple(
        write_scan(tmp_path / f"{name}.nii.gz", patient.label_map().labels, SPACING_MM)
        for name, patient in (("before", BEFORE), ("after", AFTER))
    )


DATES = ("--before-date", "2024-01-31", "--after-date", "20250131")


def test_json_gives_what_changed(cli, pair):
    done = cli("compare", *pair, *DATES, "--json")
    assert (done.code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["comparison"]["interval_days"] == 366
    assert [one["status"] for one in found["comparison"]["lesions"]] == ["matched", "new", "vanished"]
    assert found["before"]["measurements"]["lesions"][0]["side"] == "left"


def test_tables_are_for_people_and_cautions_for_standard_error(cli, pair):
    done = cli("compare", *pair)
    assert done.code == 0
    for text in (
        "not known how long apart",
        "left, larger",
        "left, new",
        "right, vanished",
        "cannot be told from none",
    ):
        assert text in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert (
        done.stderr == "warning: the date of a scan is not known: changes are given, but none per year\n"
    )
    assert "366 days apart" in cli("compare", *pair, *DATES).stdout
    assert cli("compare", *pair, *DATES, "--quiet").stdout == ""


def test_a_page_and_a_table_are_written_and_not_over_another(cli, pair, tmp_path):
    page, csv = tmp_path / "page.html", tmp_path / "changes.csv"
    command = ("compare", *pair, "--report", page, "--csv", csv)
    assert f"wrote {page}\nwrote {csv}\n" in cli(*command).stdout
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "before.nii.gz" in text
    assert cli(*command).code == 2
    assert cli(*command, "--overwrite", "--anonymize-report").code == 0
    assert "before.nii.gz" not in page.read_text(encoding="utf-8")


def test_bad_inputs_end_with_2_and_one_clear_line(cli, pair, write_scan, tmp_path):
    before, after = pair
    other = write_scan(tmp_path / "other.nii.gz", np.zeros((8, 8, 8), np.int16))
    for arguments, text in (
        ((before, before), "BEFORE and AFTER are one and the same scan"),
        (
            (before, after, *("--before-date", "2025-01-31", "--after-date", "2024-01-31")),
            "AFTER was taken before BEFORE",
        ),
        ((before, after, "--border-mm", "-1"), "border_mm is out of range"),
        ((before, after, "--anonymize-report"), "--anonymize-report applies to a report"),
        ((before, after, "--before-scan", other), "different grids"),
        ((before, tmp_path / "none.nii.gz"), "the path does not exist"),
    ):
        done = cli("compare", *arguments)
        assert (done.code, done.stdout) == (2, ""), done
        assert text in done.stderr
        assert "Traceback" not in done.stderr
    assert cli("compare", before, after, "--before-date", "31.1.2025").code == 2


def test_a_message_about_a_series_names_the_option_of_that_scan(cli, pair, tmp_path):
    """Two series as good as each other, in the folder of the later scan."""
    before, after = pair
    folder = tmp_path / "late"
    folder.mkdir()
    for name in ("a", "b"):
        write_series(folder / name, np.zeros((4, 16, 16), np.int16), StudyInstanceUID="1.2.3")
    done = cli("compare", before, after, "--after-scan", folder)
    assert done.code == 2
    assert "Choose one with --after-series" in done.stderr
    assert " --series" not in done.stderr
