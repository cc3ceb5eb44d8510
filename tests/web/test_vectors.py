"""The page's TypeScript: its own checks, and cases that Python made: one truth in two languages."""

from __future__ import annotations

from tests.web.site import WEB, make, run_in
from tests.web.vectors import write_vectors


def test_the_page_computes_what_python_does(make_bundle):
    make("")
    write_vectors(WEB / "vectors", make_bundle)
    ran = run_in(WEB, "npm", "run", "--silent", "test")
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]


def test_types_and_style_are_in_order():
    make("")
    ran = run_in(WEB, "npm", "run", "--silent", "check")
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
