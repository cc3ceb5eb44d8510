"""What MkDocs calls while it builds the site (`mkdocs.yml`, hooks)."""

from __future__ import annotations

import logging
import posixpath
from pathlib import Path
from typing import Any, Final

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from renalmap import __version__
from renalmap.cli.app import app
from website.cli_reference import cli_reference
from website.decisions import decision_records, decisions_index
from website.outside import outside_requests
from website.python_reference import python_reference
from website.repository import DOCS, Repository, part_lists, to_site, unescape_pipes

logger = logging.getLogger("mkdocs.hooks.renalmap")  # strict builds fail on warnings of mkdocs.*

REPOSITORY: Final = Repository(Path(__file__).resolve().parents[1])
DECISIONS: Final = "decisions/"
"""In the nav of mkdocs.yml: stands for all decision records."""

_paths: dict[str, str] = {}
"""Where in the repository a page comes from, by its place on the site."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put all decision records where the nav says so, and the version into the site's name."""
    config.site_name = f"{config.site_name} {__version__}"
    records = [
        f"decisions/{path.name}" for path in decision_records(Path(config.docs_dir) / "decisions")
    ]
    config.nav = _with_decisions(config.nav, ["decisions/index.md", *records])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and those from elsewhere in the repository."""
    sources = {
        f"{DOCS}/{file.src_uri}": file.content_string for file in files if file.is_documentation_page()
    }
    _paths.clear()
    _paths.update({path.removeprefix(f"{DOCS}/"): path for path in sources})
    records = Path(config.docs_dir) / "decisions"
    made = {
        "reference/cli.md": cli_reference(typer.main.get_command(app)),
        "reference/python.md": python_reference(),
        "decisions/index.md": decisions_index(records),
    }
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    in_nav = set(_targets(config.nav))
    named = {  # pages that only the nav leads to
        place.removeprefix("repository/").replace("readme.md", "README.md"): ""
        for place in in_nav
        if place.startswith("repository/")
    }
    links = "".join(f"[]({path})\n" for path in named)
    for path, text in REPOSITORY.outside_pages({**sources, "nav": links}).items():
        page = REPOSITORY.page_of(path)
        assert page is not None
        _paths[page] = path
        inclusion = InclusionLevel.INCLUDED if page in in_nav else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, page, content=text, inclusion=inclusion))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """From GitHub's Markdown to Python's, with links to pages of the site."""
    del config, files
    path = _paths.get(page.file.src_uri)
    if path is None:  # made here
        return markdown
    text, dead = to_site(path, unescape_pipes(part_lists(markdown)), REPOSITORY)
    for target in dead:
        logger.warning("%s links to %s, which does not exist", path, target)
    return text


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that needs anything from outside."""
    for page, address in outside_requests(Path(config.site_dir)):
        logger.warning("%s would fetch %s; the site must open offline", page, address)


def _with_decisions(nav: Any, pages: list[str]) -> Any:
    if isinstance(nav, list):
        return [_with_decisions(each, pages) for each in nav]
    if isinstance(nav, dict):
        return {
            title: pages if below == DECISIONS else _with_decisions(below, pages)
            for title, below in nav.items()
        }
    return nav


def _targets(nav: Any) -> list[str]:
    """Every page that the nav names."""
    if isinstance(nav, str):
        return [posixpath.normpath(nav)]
    below = nav.values() if isinstance(nav, dict) else nav or []
    return [target for each in below for target in _targets(each)]
