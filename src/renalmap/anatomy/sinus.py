"""The renal sinus: what lies inside a kidney's outline and is neither its tissue nor a lesion."""

from __future__ import annotations

from typing import Literal

SinusBasis = Literal["scan", "mask"]
"""What showed the sinus: the gaps of the label map and the fat in the scan, or the gaps alone."""

PolarBasis = Literal["medial lip", "sinus", "proportions"]
"""What showed the polar lines: where the medial lip is interrupted; where the sinus begins, in a map whose labels close
the lip; or a normal kidney's proportions, if no sinus is seen."""
