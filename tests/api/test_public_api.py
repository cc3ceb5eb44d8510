"""The public names and their signatures are those of the snapshot, and there are no others."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tests.api.public_api import SNAPSHOT, public_api

import renalmap


def test_names_and_signatures_are_those_of_the_snapshot():
    """If a change is meant: `python -m tests.api.public_api`, a news fragment, and CONTRIBUTING's deprecations."""
    assert public_api() == SNAPSHOT.read_text(encoding="utf-8")


def test_every_public_name_is_listed_and_no_other_is_there():
    for name in renalmap.__all__:
        assert getattr(renalmap, name) is not None
    assert dir(renalmap) == sorted(renalmap.__all__)
    assert {*renalmap._HOMES} == {*renalmap.__all__} - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'segmentation'"):
        renalmap.segmentation  # noqa: B018
    program = "import json, renalmap; print(json.dumps([*vars(renalmap)]))"
    finished = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    named = {name for name in json.loads(finished.stdout) if not name.startswith("_")}
    assert named == {"annotations", "TYPE_CHECKING", "Any"}, "what the module itself imports"


def one_more_option(scan, *, model=None, quick=False):
    """Stands for a verb with another signature."""


def test_a_new_name_a_new_method_and_another_signature_are_seen(monkeypatch):
    known = public_api()
    with monkeypatch.context() as patch:
        patch.setattr(renalmap, "__all__", [*renalmap.__all__, "measure_more"])
        patch.setattr(renalmap, "measure_more", one_more_option, raising=False)
        new = {*public_api().splitlines()} - {*known.splitlines()}
        assert new == {"renalmap.measure_more(scan, *, model=None, quick=False)"}
    for owner, name in ((renalmap, "segment"), (renalmap.Result, "to_sitk"), (renalmap.Result, "more")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, one_more_option, raising=False)
            assert public_api() != known
    assert public_api() == known
