"""What a process did with its files, as strace saw it, and what a power cut would have left of them."""

from __future__ import annotations

import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SYSCALLS = "pwrite64,fsync,fdatasync,ftruncate,unlink,write,writev,sendto,sendmsg"
SECTOR = 512
_CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(.*)$")
_HEX = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')

_BYTE = re.compile(r"\\x([0-9a-f]{2})")


class Call(NamedTuple):
    """A system call, at the place in the order where it began and where it had returned."""

    name: str
    path: str
    data: bytes
    offset: int
    began: int
    ended: int


def command(trace: Path, *program: str) -> list[str]:
    """The program under strace, with every byte that it writes."""
    strace = shutil.which("strace")
    assert strace is not None, "these tests need strace: apt-get install strace"
    return [strace, "-f", "-yy", "-xx", "-s", "70000", "-e", f"trace={SYSCALLS}", "-o", str(trace), *program]


def python(trace: Path, *words: str) -> list[str]:
    """A Python program under strace."""
    return command(trace, sys.executable, *words)


def read(trace: Path) -> list[Call]:
    """The calls that succeeded, by the moment of their return."""
    calls, open_calls = [], {}
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        found = _CALL.match(line)
        if found is None:
            continue
        thread, name, rest = found.groups()
        if rest.endswith("<unfinished ...>"):
            open_calls[thread] = (rest, number)
            continue
        began = number
        if " resumed>" in rest:
            before, began = open_calls.pop(thread, ("", number))
            rest = before.removesuffix("<unfinished ...>") + rest.partition(" resumed>")[2]
        if (result := re.search(r"= (\d+)$", rest)) is not None:
            calls.append(_parsed(name, rest[: result.start()], began, number))
    return calls


def _parsed(name: str, rest: str, began: int, ended: int) -> Call:
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in _HEX.findall(rest)]
    found = re.match(r"\(\d+<([^<]*?)(?:<[^>]*>)?> *[,)]", rest)
    path = _BYTE.sub(lambda byte: chr(int(byte[1], 16)), found.group(1)) if found else ""
    if name == "unlink":
        path = texts[0].decode()
    numbers = re.findall(r", (\d+)", rest)
    offset = int(numbers[-1]) if name in ("pwrite64", "ftruncate") else 0
    return Call(name, path, b"".join(texts), offset, began, ended)


def was_synced(calls: list[Call], written: Call, before: Call) -> bool:
    """Whether the file had been synced between a write to it and another call."""
    return any(
        call.name in ("fdatasync", "fsync")
        and call.path == written.path
        and written.ended < call.began
        and call.ended < before.began
        for call in calls
    )


def after_a_power_cut(
    calls: list[Call], at: int, names: tuple[str, ...], luck: random.Random
) -> dict[str, bytes]:
    """The files of a database when the power fails at a moment: whatever was synced, and of what was
    not any sector or none.
    """
    files = {name: bytearray() for name in names}
    for name, content in files.items():
        own = [call for call in calls if call.began < at and Path(call.path).name == name]
        synced = [call.began for call in own if call.name in ("fsync", "fdatasync") and call.ended < at]
        last = max(synced, default=-1)
        for call in own:
            _apply(content, call, luck if call.ended > last else None)
    return {name: bytes(content) for name, content in files.items() if content}


def _apply(content: bytearray, call: Call, luck: random.Random | None) -> None:
    if call.name == "unlink":
        content.clear()
    elif call.name == "ftruncate" and (luck is None or luck.random() < 0.5):
        del content[call.offset :]
    elif call.name == "pwrite64":
        for start, piece in _sectors(call):
            if luck is None or luck.random() < 0.5:
                if len(content) < start:
                    content.extend(bytes(start - len(content)))
                content[start : start + len(piece)] = piece


def _sectors(call: Call) -> Iterator[tuple[int, bytes]]:
    start, end = call.offset, call.offset + len(call.data)
    while start < end:
        until = min(end, (start // SECTOR + 1) * SECTOR)
        yield start, call.data[start - call.offset : until - call.offset]
        start = until
