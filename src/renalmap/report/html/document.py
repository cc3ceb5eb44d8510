"""The page itself: parts into the template, under a policy that forbids any connection."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from string import Template
from typing import Final

from renalmap import __version__
from renalmap.imaging import check_same_grid
from renalmap.report.html.assets import read_asset
from renalmap.report.html.contents import ReportContents
from renalmap.report.html.flags import flags_section
from renalmap.report.html.method import facts, method_section
from renalmap.report.html.packing import choose_packing
from renalmap.report.html.pictures import legend, pictures_section
from renalmap.report.html.scores import score_table
from renalmap.report.html.tables import measurement_tables
from renalmap.report.html.viewer import viewer_data, viewer_section

WITHOUT_NAME: Final = "CT scan"
"""The heading of a report without names."""

SCRIPTS: Final = ("voxels.js", "drawing.js", "viewer.js")
"""One script on the page, each part using those before it."""

_LETTERS_A_LINE: Final = 110
_LINES: Final = 26
"""Of flags and tables; what has more is printed smaller, so that it stays on one page."""


def report_page(contents: ReportContents) -> str:
    """Write everything about one scan as one HTML page that needs no other file.

    The page's policy allows its own script and style, known by their hashes, and pictures inside it;
    every connection is forbidden. Texts are escaped, so no name can introduce markup.

    Raises:
        GeometryMismatchError: labels and scan are on different grids.
    """
    scan, labels, names = contents.scan, contents.labels, contents.names
    check_same_grid(scan, labels, where=None if names is None else names.labels)
    packing = choose_packing(scan, labels)
    style, script = read_asset("report.css"), "".join(map(read_asset, SCRIPTS))
    flags = flags_section(contents)
    tables = measurement_tables(contents, packing.nearest) + score_table(contents)
    lines = len(flags) / _LETTERS_A_LINE + tables.count("<tr")
    return Template(read_asset("report.html")).substitute(
        policy=policy(style, script),
        version=__version__,
        title=escape(WITHOUT_NAME if names is None else names.title),
        style=style,
        script=script,
        facts=facts(contents),
        dense=' class="dense"' if lines > _LINES else "",
        flags=flags,
        measurements=tables,
        legend=legend(contents),
        pictures=pictures_section(contents),
        viewer=viewer_section(contents, packing),
        method=method_section(contents),
        data=viewer_data(contents, packing),
    )


def policy(style: str, script: str | None = None) -> str:
    """A Content-Security-Policy: nothing from anywhere but the page's own style, pictures and script if it has one."""
    own = {"style-src": style} | ({} if script is None else {"script-src": script})
    hashes = {
        source: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        for source, text in own.items()
    }
    allowed = "".join(f"{source} 'sha256-{digest}'; " for source, digest in hashes.items())
    return f"default-src 'none'; img-src data:; {allowed}base-uri 'none'; form-action 'none'"
