"""Damage to a file's bytes, all of it decided by a NumPy Generator."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import numpy as np

Generator = np.random.Generator
Mutation = Callable[[bytearray, Generator], bytearray]

_HEAD: Final = 600
"""Most of what a reader decides on lies in a file's first bytes."""
_NUMBERS: Final = (
    *(struct.pack("<H", value) for value in (0, 1, 0x7FFF, 0x8000, 0xFFFF)),
    *(struct.pack("<I", value) for value in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)),
    *(struct.pack("<q", value) for value in (-1, 2**62)),
    *(struct.pack("<f", value) for value in (np.nan, np.inf, -1.0, 1e30, 1e-30)),
    *(struct.pack("<d", value) for value in (np.nan, -np.inf, 1e300, 1e-300)),
)
_TOKENS: Final = (
    *(
        b"-1",
        b"0",
        b"1e999",
        b"1e-320",
        b"NaN",
        b"null",
        b"{}",
        b"[]",
        b'""',
        b"\\",
        b"'",
        b"\0",
        b"..",
        b"/",
    ),
    *(b"99999999999999999999999", b"true", b"\xff\xfe", b"\xc3\x28", b"\n", b",", b"=", b"X"),
    *(b"[" * 5000, b'{"a":' * 5000, b"[a]\n" * 3, b"9" * 5000),
    *(
        b"SQ",
        b"UN",
        b"OB",
        b"DS",
        b"IS",
        b"UI",
        b"PN",
        b"AT",
        b"FD",
        b"\xfe\xff\x00\xe0",
        b"\xff\xff\xff\xff",
    ),
    *(
        b"\xfe\xff\xdd\xe0\0\0\0\0",
        b"\xff\xd8",
        b"\xff\x4f\xff\x51",
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"\xe0\x7f\x10\0",
    ),
)


def mutate(content: bytes, generator: Generator) -> bytes:
    """One to four kinds of damage, one after the other."""
    changed = bytearray(content)
    for _ in range(int(generator.choice([1, 1, 1, 2, 3, 4]))):
        if not changed:
            break
        changed = _MUTATIONS[int(generator.integers(len(_MUTATIONS)))](changed, generator)
    return bytes(changed)


def _place(content: bytearray, generator: Generator) -> int:
    within = len(content) if generator.random() < 0.5 else min(len(content), _HEAD)
    return int(generator.integers(within))


def _flip(content: bytearray, generator: Generator) -> bytearray:
    for _ in range(int(generator.integers(1, 9))):
        content[_place(content, generator)] ^= 1 << int(generator.integers(8))
    return content


def _overwrite(content: bytearray, generator: Generator) -> bytearray:
    at, size = _place(content, generator), int(generator.integers(1, 17))
    content[at : at + size] = generator.bytes(len(content[at : at + size]))
    return content


def _number(content: bytearray, generator: Generator) -> bytearray:
    number = _NUMBERS[int(generator.integers(len(_NUMBERS)))]
    if generator.random() < 0.3:
        number = number[::-1]
    at = _place(content, generator) // 2 * 2
    content[at : at + len(number)] = number
    return content


def _token(content: bytearray, generator: Generator) -> bytearray:
    token = _TOKENS[int(generator.integers(len(_TOKENS)))]
    at = _place(content, generator)
    content[at : at + (len(token) if generator.random() < 0.5 else 0)] = token
    return content


def _text(content: bytearray, generator: Generator) -> bytearray:
    """Other characters in a run of text: a number, a name, a UID."""
    at = _place(content, generator)
    while at < len(content) and not 32 <= content[at] < 127:
        at += 1
    end = at
    while end < len(content) and 32 <= content[end] < 127 and end - at < 16:
        end += 1
    other = b"-0123456789.eE+\\ ^=:/naif\"'{}[],"
    for place in range(at, end):
        if generator.random() < 0.5:
            content[place] = other[int(generator.integers(len(other)))]
    return content


def _cut(content: bytearray, generator: Generator) -> bytearray:
    return content[: _place(content, generator)]


def _remove(content: bytearray, generator: Generator) -> bytearray:
    at = _place(content, generator)
    del content[at : at + int(generator.integers(1, 65))]
    return content


def _repeat(content: bytearray, generator: Generator) -> bytearray:
    at, size = _place(content, generator), int(generator.integers(1, 129))
    content[at:at] = content[at : at + size] * int(generator.integers(1, 5))
    return content


def _swap(content: bytearray, generator: Generator) -> bytearray:
    size = int(generator.integers(1, 33))
    one, other = sorted((_place(content, generator), _place(content, generator)))
    if one + size <= other and other + size <= len(content):
        content[one : one + size], content[other : other + size] = (
            content[other : other + size],
            content[one : one + size],
        )
    return content


def _blank(content: bytearray, generator: Generator) -> bytearray:
    at, size = _place(content, generator), int(generator.integers(1, 257))
    content[at : at + size] = bytes(len(content[at : at + size]))
    return content


_MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(_flip, _overwrite, _number, _number, _token, _text, _text, _cut, _remove, _repeat, _swap, _blank),
)
