"""Links between the repository's files, which GitHub follows, to links between the site's pages.

On the site every page has a place below docs/. Files from elsewhere in the repository that a page links to
become pages too: Markdown as it is, other text as a listing, a folder as a list of its files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCS: Final = "docs"
OUTSIDE: Final = "repository"
"""The site's folder for what does not lie in docs/."""

_LINK = re.compile(r"(?P<head>\]\()(?P<target>[^()\s]+)(?P<tail>(?:\s+\"[^\"]*\")?\))")
_FENCE = re.compile(r"\s*(```|~~~)")
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
_LIST_ITEM = re.compile(r"(?:[-*+]|1[.)])\s+\S")
_PICTURES: Final = (".png", ".svg", ".jpg")
_LANGUAGES: Final = {".py": "python", ".toml": "toml", ".json": "json", ".cff": "yaml", ".yml": "yaml"}


@dataclass(frozen=True)
class Repository:
    """The files that pages may link to.

    Attributes:
        root: the repository's folder.
    """

    root: Path

    def page_of(self, path: str) -> str | None:
        """Where on the site a file or folder of the repository is; None if there is no such thing.

        Args:
            path: from the root, with `/`.
        """
        place = self.root / path
        if not place.exists() or path.startswith(".."):
            return None
        if path.startswith(f"{DOCS}/"):
            inside = path.removeprefix(f"{DOCS}/")
            return f"{inside}/index.md" if place.is_dir() else inside
        if place.is_dir():
            readme = f"{path}/README.md"
            return self.page_of(readme) or f"{OUTSIDE}/{path}/index.md"
        if place.suffix == ".md":  # MkDocs would take a README for its folder's index
            return f"{OUTSIDE}/{path.replace('README.md', 'readme.md')}"
        return f"{OUTSIDE}/{path}" if place.suffix in _PICTURES else f"{OUTSIDE}/{path}.md"

    def outside_pages(self, sources: dict[str, str]) -> dict[str, str]:
        """All files outside docs/ that pages link to, and those that these link to in turn.

        Args:
            sources: pages' Markdown by path in the repository.

        Returns:
            Markdown by path in the repository, none of `sources` among them.
        """
        found: dict[str, str] = {}
        pending = list(sources.items())
        while pending:
            path, text = pending.pop()
            for target in linked_from(path, text):
                inside = target == DOCS or target.startswith(f"{DOCS}/")
                if inside or target in sources or target in found or self.page_of(target) is None:
                    continue
                if self.page_of(f"{target}/README.md") is not None:
                    target = f"{target}/README.md"  # noqa: PLW2901
                if (self.root / target).suffix in _PICTURES:
                    continue
                found[target] = self._as_markdown(target)
                pending.append((target, found[target]))
        return found

    def _as_markdown(self, path: str) -> str:
        place = self.root / path
        if place.is_dir():
            names = sorted(each.name for each in place.iterdir() if each.is_file())
            links = "\n".join(
                f"- [{name}]({place.name}/{name})" if Path(name).suffix in _LANGUAGES else f"- {name}"
                for name in names
            )
            return f"---\nsearch:\n  exclude: true\n---\n# {path}/\n\n{links}\n"
        text = place.read_text(encoding="utf-8")
        if place.suffix == ".md":
            return text
        language = _LANGUAGES.get(place.suffix, "text")
        listing = f'````{language} linenums="1"\n{text.rstrip()}\n````'
        return f"---\nsearch:\n  exclude: true\n---\n# {path}\n\n{listing}\n"


def linked_from(path: str, markdown: str) -> Iterator[str]:
    """What a file of the repository links to, as paths from the root, fragments left out."""
    links: list[str] = []

    def noted(target: str) -> str:
        links.append(target)
        return target

    rewrite_links(markdown, noted)
    for target in links:
        resolved = _resolve(path, target)
        if resolved is not None:
            yield resolved[0]


def to_site(path: str, markdown: str, repository: Repository) -> tuple[str, list[str]]:
    """A file's Markdown with its links as MkDocs wants them.

    Args:
        path: the file's, from the root of the repository.
        markdown: its text.
        repository: what may be linked to.

    Returns:
        The text, and the links that lead nowhere.
    """
    page = repository.page_of(path)
    here = posixpath.dirname(page or path)
    dead = []

    def moved(target: str) -> str:
        resolved = _resolve(path, target)
        if resolved is None:
            return target
        place, fragment = resolved
        page = repository.page_of(place)
        if page is None:
            dead.append(target)
            return target
        return posixpath.relpath(page, here or ".") + fragment

    return rewrite_links(markdown, moved), dead


def rewrite_links(markdown: str, moved: Callable[[str], str]) -> str:
    """Replace the targets of inline links and pictures, but not in code."""

    def in_line(line: str) -> str:
        code = [match.span() for match in _CODE.finditer(line)]

        def replaced(match: re.Match[str]) -> str:
            if any(start <= match.start() < stop for start, stop in code):
                return match[0]
            return f"{match['head']}{moved(match['target'])}{match['tail']}"

        return _LINK.sub(replaced, line)

    return "".join(line if fenced else in_line(line) for line, fenced in _lines(markdown))


def unescape_pipes(markdown: str) -> str:
    """Take the backslash from a pipe in code in a table: GitHub needs it, Python's Markdown shows it."""

    def in_row(row: str) -> str:
        return _CODE.sub(lambda match: match[0].replace("\\|", "|"), row)

    return "".join(
        in_row(line) if line.startswith("|") and not fenced else line
        for line, fenced in _lines(markdown)
    )


def part_lists(markdown: str) -> str:
    """Put an empty line before a list that follows text at once.

    GitHub's Markdown lets a list interrupt a paragraph; Python's does not.
    """
    parted: list[str] = []
    for line, fenced in _lines(markdown):
        before = parted[-1] if parted else "\n"
        starts = not fenced and _LIST_ITEM.match(line) is not None
        if starts and before.strip() and not before.startswith(" ") and not _within_item(parted):
            parted.append("\n")
        parted.append(line)
    return "".join(parted)


def _within_item(lines: list[str]) -> bool:
    """Whether the last line is one of a list item that began above it."""
    for line in reversed(lines):
        if not line.strip():
            return False
        if _LIST_ITEM.match(line):
            return True
    return False


def _lines(markdown: str) -> Iterator[tuple[str, bool]]:
    """Each line with its end, and whether it belongs to a fenced block."""
    fence = None
    for line in markdown.splitlines(keepends=True):
        match = _FENCE.match(line)
        if fence is None and match is not None:
            fence = line.strip().rstrip(line.strip().lstrip("`~")) or match[1]
            yield line, True
        elif fence is not None and line.strip() == fence:
            fence = None
            yield line, True
        else:
            yield line, fence is not None


def _resolve(path: str, target: str) -> tuple[str, str] | None:
    """A link's path from the root and its fragment; None for what is no file's."""
    place, hash_mark, fragment = target.partition("#")
    if not place or re.match(r"[a-z]+:", place) or place.startswith("/"):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), place)), hash_mark + fragment
