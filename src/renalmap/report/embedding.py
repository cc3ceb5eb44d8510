"""Pictures inside a page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Image


def as_data_uri(picture: Image, kind: Literal["PNG", "JPEG"], *, quality: int = 85) -> str:
    """A picture as a `data:` URI: a page that holds it needs no other file.

    Args:
        picture: any that Pillow writes in that format.
        kind: its format; JPEG keeps colours at full resolution, outlines would bleed otherwise.
        quality: of a JPEG, 1 to 95.
    """
    buffer = io.BytesIO()
    if kind == "PNG":
        picture.save(buffer, format="PNG", optimize=True)
    else:
        picture.save(buffer, format="JPEG", quality=quality, subsampling=0)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{data}"
