"""Links that GitHub follows become links between the site's pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from website.repository import (
    Repository,
    linked_from,
    part_lists,
    rewrite_links,
    to_site,
    unescape_pipes,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def repository(tmp_path):
    for path, text in {
        "README.md": "[a page](docs/page.md), [code](src/code.py), [folder](experiments)",
        "docs/page.md": "[home](../README.md#use)",
        "docs/decisions/0001-first.md": "# 1. First",
        "docs/images/picture.png": "",
        "src/code.py": "x = 1\n",
        "experiments/README.md": "[arms](arms)",
        "experiments/arms/base.toml": "a = 1\n",
        "experiments/arms/weights.bin": "",
    }.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return Repository(tmp_path)


@pytest.mark.parametrize(
    ("path", "markdown", "expected"),
    [
        ("docs/page.md", "[r](../README.md#use)", "[r](repository/readme.md#use)"),
        ("docs/page.md", "[d](decisions)", "[d](decisions/index.md)"),
        ("docs/page.md", "[c](../src/code.py)", "[c](repository/src/code.py.md)"),
        ("docs/decisions/0001-first.md", "[p](../page.md)", "[p](../page.md)"),
        ("README.md", "[p](docs/page.md)", "[p](../page.md)"),
        ("README.md", "![p](docs/images/picture.png)", "![p](../images/picture.png)"),
        ("README.md", "[e](experiments)", "[e](experiments/readme.md)"),
        ("README.md", "[a](experiments/arms)", "[a](experiments/arms/index.md)"),
        (
            "README.md",
            "[w](https://example.org/x.md) [h](#here)",
            "[w](https://example.org/x.md) [h](#here)",
        ),
        ("README.md", "`[p](docs/page.md)`", "`[p](docs/page.md)`"),
        ("README.md", "```\n[p](docs/page.md)\n```\n", "```\n[p](docs/page.md)\n```\n"),
    ],
)
def test_links_lead_to_the_same_thing(repository, path, markdown, expected):
    assert to_site(path, markdown, repository) == (expected, [])


def test_a_link_to_nothing_is_told(repository):
    text, dead = to_site("README.md", "[gone](docs/gone.md) [out](../../etc/passwd)", repository)
    assert dead == ["docs/gone.md", "../../etc/passwd"]
    assert text == "[gone](docs/gone.md) [out](../../etc/passwd)"


def test_what_is_linked_to_becomes_a_page_and_so_on(repository):
    readme = (repository.root / "README.md").read_text()
    pages = repository.outside_pages({"README.md": readme})
    assert set(pages) == {
        "src/code.py",
        "experiments/README.md",
        "experiments/arms",
        "experiments/arms/base.toml",
    }
    assert "x = 1" in pages["src/code.py"]
    assert "- weights.bin" in pages["experiments/arms"]  # a name, no page of bytes
    assert to_site("experiments/arms", pages["experiments/arms"], repository)[1] == []


def test_a_list_may_follow_text_as_on_github():
    assert part_lists("Text:\n- one\n- two\n") == "Text:\n\n- one\n- two\n"
    assert part_lists("- one\n  more\n- two\n") == "- one\n  more\n- two\n"
    assert part_lists("- one\ngoes on\n- two\n") == "- one\ngoes on\n- two\n"
    assert part_lists("```\nText\n- one\n```\n") == "```\nText\n- one\n```\n"
    assert part_lists("A sum of 2\n2. of all\n") == "A sum of 2\n2. of all\n"


def test_pipes_in_a_tables_code_lose_their_backslash():
    assert unescape_pipes("| `a \\| b` | c \\| d |\n") == "| `a | b` | c \\| d |\n"
    assert (
        unescape_pipes("`a \\| b`\n```\n| `a \\| b` |\n```\n") == "`a \\| b`\n```\n| `a \\| b` |\n```\n"
    )


def test_code_keeps_its_brackets():
    text = rewrite_links("``a [b](c.md)`` [d](e.md)", lambda target: f"../{target}")
    assert text == "``a [b](c.md)`` [d](../e.md)"


def pages_of_the_repository():
    return sorted(
        path.relative_to(ROOT).as_posix()
        for path in [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")]
    )


@pytest.mark.parametrize("path", pages_of_the_repository())
def test_every_link_of_the_repository_leads_somewhere(path):
    markdown = (ROOT / path).read_text(encoding="utf-8")
    _, dead = to_site(path, markdown, Repository(ROOT))
    assert dead == []
    assert all((ROOT / target).exists() for target in linked_from(path, markdown))
