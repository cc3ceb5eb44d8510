"""Colours that mean the same in every picture and chart."""

from __future__ import annotations

from typing import Final

from renalmap.labels import CYST, KIDNEY, TUMOUR

KIDNEY_COLOUR: Final = "#56B4E9"
TUMOUR_COLOUR: Final = "#E69F00"
CYST_COLOUR: Final = "#009E73"
ALARM_COLOUR: Final = "#D55E00"
"""Sky blue, orange, bluish green and vermilion of Okabe & Ito (2008): told apart with any colour vision."""

LABEL_COLOURS: Final = {KIDNEY: KIDNEY_COLOUR, CYST: CYST_COLOUR, TUMOUR: TUMOUR_COLOUR}
"""In the order in which outlines are drawn: the last lies on top."""
