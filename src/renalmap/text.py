"""Text that came from outside (names of files, headers, servers), where it leaves again.

Inside it stays as it is: a path whose bytes are no UTF-8 is still that path. Whatever a terminal, a spreadsheet or a
JSON reader might take for more than text is made harmless here, by whoever writes it.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import BaseModel

_UNPRINTABLE: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but for tab and line feed, what turns the direction of writing, and halves of characters, by which
Python keeps a name's bytes that are no UTF-8."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def printable(text: str) -> str:
    r"""A text in which nothing can steer a terminal, and which can be encoded.

    Returns:
        Escapes in place of what cannot be printed, as `\x1b`; of a name's bytes those bytes, as `\xe9`.
    """
    return _UNPRINTABLE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def cell_text(value: Any) -> Any:
    """A value for a table: a text that a spreadsheet would take for a formula gets an apostrophe before it.

    As OWASP recommends against CSV injection. Numbers stay numbers.
    """
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(_FORMULA) else value)


def json_text(model: BaseModel, indent: int | None = None) -> str:
    """A model as JSON.

    What cannot be printed is written in JSON's own escapes, so that whoever reads it gets it back; `json.loads` also
    the bytes of a name that are no UTF-8.
    """
    try:
        text = model.model_dump_json(indent=indent)
    except ValueError:  # PydanticSerializationError, for a name's bytes
        text = json.dumps(model.model_dump(), indent=indent, default=str)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def keep_values_private() -> None:
    """Let no library print what it found in a header: pydicom's log and warnings quote patients' names and ids.

    For a process that a user starts, and for its workers; a program that calls the API decides for itself.
    """
    logging.captureWarnings(True)
    for name in ("py.warnings", "pydicom", "highdicom"):
        theirs = logging.getLogger(name)
        theirs.propagate = False  # a level would not last: pydicom sets its own when it is imported
        theirs.addHandler(logging.NullHandler())
