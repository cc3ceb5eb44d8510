"""A list of the decision records, so that a new one is on the site without anybody's doing."""

from __future__ import annotations

from pathlib import Path


def decisions_index(folder: Path) -> str:
    """Markdown: every record with its title, in order."""
    rows = [
        f"| {int(path.name[:4])} | [{title_of(path)}]({path.name}) |"
        for path in decision_records(folder)
    ]
    head = (
        "# Decisions\n\nWhat somebody could later want to undo, with what was known at the time "
        "([why they are written](0001-record-decisions.md)).\n\n"
    )
    return head + "| number | decision |\n|---|---|\n" + "\n".join(rows) + "\n"


def decision_records(folder: Path) -> list[Path]:
    """The records' files, by number."""
    return sorted(folder.glob("[0-9][0-9][0-9][0-9]-*.md"))


def title_of(path: Path) -> str:
    """A record's title without its number."""
    first = path.read_text(encoding="utf-8").splitlines()[0]
    return first.lstrip("# ").partition(". ")[2] or first.lstrip("# ")
