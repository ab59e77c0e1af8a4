# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""What a program needs at run time, read from its ELF file (System V ABI, chapters 4 and 5).

Nothing is executed, so it works for every architecture on every controller.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB = 1, 5


class Needs(NamedTuple):
    """The loader's path (empty for a static program) and the sonames of the libraries."""

    loader: str
    libraries: list[str]


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int


def needs(data: bytes) -> Needs | None:
    """What the ELF file wants; None for anything that is no ELF file. Raises ValueError if it is broken."""
    if data[:4] != b"\x7fELF":
        return None
    try:
        segments = _segments(data)
        loader = next((_text(data, s.offset) for s in segments if s.kind == PT_INTERP), "")
        return Needs(loader, _needed(data, segments))
    except (struct.error, StopIteration) as error:
        raise ValueError("truncated ELF file") from error


def _order(data: bytes) -> str:
    return "<" if data[5] == 1 else ">"


def _segments(data: bytes) -> list[_Segment]:
    order, wide = _order(data), data[4] == 2
    if wide:
        (start,) = struct.unpack_from(order + "Q", data, 32)
        size, count = struct.unpack_from(order + "HH", data, 54)
    else:
        (start,) = struct.unpack_from(order + "I", data, 28)
        size, count = struct.unpack_from(order + "HH", data, 42)
    found = []
    for index in range(count):
        at = start + index * size
        if wide:
            kind, _flags, offset, address, _physical, length = struct.unpack_from(order + "IIQQQQ", data, at)
        else:
            kind, offset, address, _physical, length = struct.unpack_from(order + "IIIII", data, at)
        found.append(_Segment(kind, offset, address, length))
    return found


def _needed(data: bytes, segments: list[_Segment]) -> list[str]:
    dynamic = next((segment for segment in segments if segment.kind == PT_DYNAMIC), None)
    if dynamic is None:
        return []
    form = _order(data) + ("qQ" if data[4] == 2 else "iI")
    width = struct.calcsize(form)
    entries = [
        struct.unpack_from(form, data, dynamic.offset + at)
        for at in range(0, dynamic.size - width + 1, width)
    ]
    table = next((value for tag, value in entries if tag == DT_STRTAB), None)
    if table is None:
        return []
    holder = next(s for s in segments if s.kind == PT_LOAD and s.address <= table < s.address + s.size)
    strings = table - holder.address + holder.offset
    return [_text(data, strings + value) for tag, value in entries if tag == DT_NEEDED]


def _text(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()
