"""The follow-up page itself: parts into a template, under a policy that forbids any connection and any script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape
from string import Template
from typing import Final

from renalmap import __version__
from renalmap.report.followup.contents import FollowUpContents
from renalmap.report.followup.pictures import picture_pairs
from renalmap.report.followup.tables import change_tables, outcome
from renalmap.report.html.assets import read_asset
from renalmap.report.html.document import policy

_STYLE: Final = """
small { color: var(--faint); font-weight: 400; }
.larger, .smaller, .new, .merged, .split, .regrouped { color: var(--warn-ink); font-weight: 650; }
.summary { font-size: 1.05rem; margin-bottom: 1rem; }
.gallery + .gallery { margin-top: 1rem; }
@media screen and (max-width: 50rem) { .pairs > figure { grid-column: span 6; } td.n, th.n, tbody th { white-space: normal; } }
@media print {
  .summary { font-size: 10pt; margin-bottom: 5pt; } .gallery + .gallery { margin-top: 6pt; }
  .gallery > .half { grid-column: span 6; } .gallery > .quarter { grid-column: span 3; }
}
"""

_TEMPLATE: Final = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="RenalMap $version">
<meta name="referrer" content="no-referrer">
<title>$title: kidneys and kidney tumours in two scans</title>
<link rel="icon" href="data:,">
<style>$style</style>
</head>
<body>
<a class="skip" href="#changes">Skip to the changes</a>
<header>
<p class="brand">RenalMap <span>kidneys and kidney tumours in two scans</span></p>
<h1>$title</h1>
<dl class="facts">$facts</dl>
<p class="disclaimer"><strong>Not a medical device.</strong> For research only. Nothing here may be used for diagnosis,
treatment or any other decision about a patient.</p>
</header>
<main>
<section id="flags" aria-labelledby="flags-title">
<h2 id="flags-title">Before you read on</h2>
$flags
</section>
<section id="changes" aria-labelledby="changes-title">
<h2 id="changes-title">What has changed</h2>
<p class="summary">$summary</p>
$tables
</section>
<section id="pictures" aria-labelledby="pictures-title">
<h2 id="pictures-title">Side by side</h2>
<p class="legend"><span><span class="dot"></span>kidney</span><span><span class="dot tumour"></span>tumour</span><span><span
class="dot cyst"></span>cyst</span><span>white bars are 5 cm</span></p>
$pictures
</section>
<section id="method" aria-labelledby="method-title">
<h2 id="method-title">How this was made</h2>
<div class="method">$method</div>
</section>
</main>
<footer><p>RenalMap $version. Research use only; not a medical device.</p></footer>
</body>
</html>
""")

_TIMES: Final = " \N{MULTIPLICATION SIGN} "

_METHOD: Final = """<p>Each kidney of the earlier scan was laid on that of the later one, turned and shifted as a rigid body so that the
surfaces of its own tissue fit. Lesions that then overlap are the same; of the others, the nearest within 5 mm. The column
Surfaces apart says how well the kidneys fit: usually to a millimetre; those of two patients rarely to 1.5.</p>
<p>Volumes are counted voxels. Diameters run from border to border of a lesion's outline in the slice where it is longest.
The time in which a volume doubles is that of exponential growth, given only where the growth exceeds its error. Parts
below 0.1 ml are not included in any number.</p>
<p>The outlines were read from files and are used as they are. <strong>Not a medical device.</strong> Lesions are missed,
and borders are off by millimetres: check every number against the pictures.</p>"""


_CHECKED: Final = """Checked by the program: both grids, how many kidneys each scan shows and on which side, what is truncated,
tumours as dark as fluid, and how well the kidneys fit each other. No check can tell whether a lesion was missed or an outline
is wrong: look at the pictures."""


def follow_up_page(contents: FollowUpContents) -> str:
    """Write both scans and what has changed as one HTML page that needs no other file.

    The page's policy allows its own style, known by its hash, and pictures inside it; scripts and connections are
    forbidden. Texts are escaped, so no name can introduce markup.
    """
    style = read_asset("report.css") + _STYLE
    return _TEMPLATE.substitute(
        policy=policy(style),
        version=__version__,
        title=escape(_title(contents)),
        style=style,
        facts="".join(
            f"<div><dt>{term}</dt><dd>{escape(text)}</dd></div>" for term, text in _facts(contents)
        ),
        flags=_flags(contents),
        summary=escape(_summary(contents)),
        tables=change_tables(contents),
        pictures=picture_pairs(contents),
        method=_METHOD,
    )


def _title(contents: FollowUpContents) -> str:
    names = [scan.files[0].name for scan in (contents.before, contents.after) if scan.files]
    return "Follow-up of a CT scan" if len(names) < 2 else f"{names[0]} and {names[1]}"


def _facts(contents: FollowUpContents) -> Iterator[tuple[str, str]]:
    days = contents.comparison.interval_days
    yield "Page made", _day(contents.made_on)
    for when, scan in (("Earlier", contents.before), ("Later", contents.after)):
        steps = _TIMES.join(f"{step:.2f}" for step in reversed(scan.labels.geometry.spacing_mm))
        day = "" if scan.taken_on is None else f"{_day(scan.taken_on)}, "
        yield f"{when} scan", f"{day}voxels {steps} mm"
        if scan.files:
            yield f"{when} files", ", ".join(map(str, scan.files))
    yield "Between them", "not known" if days is None else f"{days} days ({days / 365.25:.1f} years)"
    yield "RenalMap", __version__


def _day(day: object) -> str:
    return f"{day:%d %B %Y}".lstrip("0")


def _flags(contents: FollowUpContents) -> str:
    warnings = [caution.text for caution in contents.comparison.cautions]
    notes: list[str] = []
    for when, scan in (("earlier scan", contents.before), ("later scan", contents.after)):
        warnings += [f"{when}: {text}" for text in scan.cautions]
        for flag in scan.measurements.flags:
            (notes if flag.is_note else warnings).append(f"{when}: {flag.text}")
    items = [f"<li>{escape(text)}</li>" for text in warnings]
    items += [f'<li class="note">{escape(text)}</li>' for text in notes]
    raised = f'<ul class="flags">{"".join(items)}</ul>' if items else ""
    return f'{raised}<p class="checked">{_CHECKED}</p>'


def _summary(contents: FollowUpContents) -> str:
    """As "Lesions: 1 larger, 1 new."""
    counts = Counter(outcome(found) for found in contents.comparison.lesions)
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"Lesions: {told}." if told else "No lesion is labelled in either scan."
