"""Files about the project that nothing else reads: the version, news fragments, the hooks before a commit."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from renalmap import __version__

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_is_the_same_everywhere():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    after = changelog.partition(PYPROJECT["tool"]["towncrier"]["start_string"])[2]
    version, date = re.findall(r"^## \[(.+)\] - (\d{4}-\d\d-\d\d)$", after, re.MULTILINE)[0]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (version, date) == (__version__, citation["date-released"].isoformat())
    assert citation["version"] == __version__


@pytest.mark.parametrize("path", sorted((ROOT / "changes").iterdir()), ids=lambda path: path.name)
def test_a_news_fragment_is_one_entry_of_a_known_kind(path):
    if path.name == "README.md":
        return
    kinds = "|".join(PYPROJECT["tool"]["towncrier"]["fragment"])
    assert re.fullmatch(rf"\+[a-z0-9-]+\.({kinds})\.md", path.name)
    text = path.read_text(encoding="utf-8")
    assert text.strip()
    assert not text.startswith(("-", "*", "#")), "the bullet comes with the release"


def test_every_hook_before_a_commit_is_a_tool_of_the_environment():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in config["repos"]] == ["local"], "nothing is fetched"
    hooks = config["repos"][0]["hooks"]
    checks = (ROOT / "Makefile").read_text(encoding="utf-8").partition("define static_checks")[2]
    for hook in hooks:
        assert hook["language"] == "system"
        place, *arguments = hook["entry"].split()
        assert place.startswith(".venv/bin/")
        command = " ".join([place.replace(".venv/bin", "$(VENV)/bin"), *arguments[:1]])
        assert command.removesuffix(" --force-exclude") in checks, "what make check runs as well"
    assert [hook["id"] for hook in hooks] == ["format", "lint", "imports", "types"]
