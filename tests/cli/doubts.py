"""The stub networks' tumour is so small that its score is low: the one warning that a good run gives."""

from __future__ import annotations

import re

_DOUBT = re.compile(
    r"warning: \S+: tumour 1 \(0\.[34] ml, slice 3\) is doubtful: the model's score for it is 0\.2[58] of 1; "
    r"it may be a cyst or no lesion\n"
)


def without_doubt(stderr: str) -> str:
    """What a run wrote on standard error beside that warning, which must be there once for each scan."""
    assert _DOUBT.search(stderr), stderr
    return _DOUBT.sub("", stderr)
