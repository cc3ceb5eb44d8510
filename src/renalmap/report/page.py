"""A page of pixels on which to write and paste, with Pillow and its built-in font: the same on every machine."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from renalmap.imaging.files import replace_atomically

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

_OVERSAMPLING: Final = 4
_BOLD_STROKE: Final = 0.026
"""Half of the extra width of bold strokes, as a fraction of the font size; Pillow's font has one weight."""

_SMALLEST_FONT_PX: Final = 18
_BEYOND_ASCII: Final = frozenset("©«°±·»“”…™")
"""What Pillow's font (Aileron) draws beside ASCII; anything else would be an empty box."""


@dataclass(frozen=True)
class Ink:
    """How text is set: font size, colour ("#rrggbb"), and whether strokes are thicker."""

    size_px: int
    colour: str
    bold: bool = False


class Page:
    """A picture under construction, on a ground of one colour. Positions are (x, y) from the upper left corner."""

    def __init__(self, width_px: int, height_px: int, background: str) -> None:
        from PIL import Image  # noqa: PLC0415 - only drawing needs Pillow

        self.width_px, self.height_px = width_px, height_px
        self._image = Image.new("RGB", (width_px, height_px), background)

    def write(self, text: str, at: tuple[int, int], ink: Ink, *, anchor: str = "ls") -> None:
        """Write one line.

        Args:
            text: what to write; see `printable`.
            at: where its anchor lies.
            ink: size, colour, weight.
            anchor: Pillow's two letters: l, m, r along x; s (baseline) or m (middle) along y.
        """
        from PIL import Image, ImageDraw  # noqa: PLC0415

        text, font, stroke = printable(text), _font(ink), 0
        if ink.bold:
            stroke = round(ink.size_px * _OVERSAMPLING * _BOLD_STROKE)
        box = font.getbbox(text, anchor=anchor, stroke_width=stroke)
        left, top = (floor(edge / _OVERSAMPLING) for edge in box[:2])
        width, height = (
            ceil(far / _OVERSAMPLING) - near for near, far in zip((left, top), box[2:], strict=True)
        )
        mask = Image.new("L", (max(width, 1) * _OVERSAMPLING, max(height, 1) * _OVERSAMPLING))
        origin = -left * _OVERSAMPLING, -top * _OVERSAMPLING
        ImageDraw.Draw(mask).text(origin, text, 255, font, anchor, stroke_width=stroke)
        self._image.paste(ink.colour, (at[0] + left, at[1] + top), mask.reduce(_OVERSAMPLING))

    def fill(self, box: tuple[int, int, int, int], colour: str) -> None:
        """Fill a rectangle (left, top, right, bottom), right and bottom excluded."""
        self._image.paste(colour, box)

    def paste(self, picture: Image, at: tuple[int, int]) -> None:
        """Lay a picture on the page, its upper left corner at `at`."""
        self._image.paste(picture, at)

    @property
    def picture(self) -> Image:
        """The page itself, not a copy."""
        return self._image

    def save(self, path: Path) -> None:
        """Write the page as PNG. The same page gives the same bytes: no date, no version inside.

        Raises:
            OSError: the folder does not exist or cannot be written to.
        """
        with replace_atomically(path) as temporary:
            self._image.save(temporary, format="PNG")


def text_width_px(text: str, ink: Ink) -> int:
    """How wide a line will be."""
    return ceil(_font(ink).getlength(printable(text)) / _OVERSAMPLING)


def fit(text: str, ink: Ink, room_px: int) -> tuple[str, Ink]:
    """Make a line fit: make it smaller and, if that is not enough, leave out its middle.

    Returns:
        The text and the ink to write it with.
    """
    width_px = text_width_px(text, ink)
    if width_px > room_px:
        ink = replace(ink, size_px=max(ink.size_px * room_px // width_px, _SMALLEST_FONT_PX))
    shown, kept = text, len(text) - 1
    while kept > 1 and text_width_px(shown, ink) > room_px:
        shown = f"{text[: (kept + 1) // 2]}…{text[-(kept // 2) :]}"
        kept -= 1
    return shown, ink


def printable(text: str) -> str:
    """The text on one line, letters without accents, "?" for what the font does not have."""
    shown = []
    for letter in unicodedata.normalize("NFD", text):
        if letter.isspace():
            shown.append(" ")
        elif not unicodedata.combining(letter):
            in_font = (letter.isascii() and letter.isprintable()) or letter in _BEYOND_ASCII
            shown.append(letter if in_font else "?")
    return "".join(shown)


@lru_cache(maxsize=16)
def _font(ink: Ink) -> FreeTypeFont:
    from PIL import ImageFont  # noqa: PLC0415

    font = ImageFont.load_default(size=ink.size_px * _OVERSAMPLING)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType, which draws the text of pictures")
    return font
