"""`python -m edgelab.protocol FILE...`: read recorded messages, write them again, count what differs.

A recording has one JSON record a line; those of kind `msg` hold a message (`msg`) and the way that it
went (`dir_`: `edge->cloud` or `cloud->edge`). Messages are compared as parsed JSON. Ends with 0 when all
are equal, 1 when some differ, 2 when a file cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edgelab.protocol import message as wire
from edgelab.protocol import typed
from edgelab.protocol.content.catalogue import DOWN, UP


class Unreadable(Exception):
    """A recording that is none; says where and why."""


def records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of kind `msg` with the numbers of their lines. Raises Unreadable."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path}: {error}") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise Unreadable(f"{path}:{number}: no JSON: {error}") from error
        if not isinstance(record, dict):
            raise Unreadable(f"{path}:{number}: a record is a JSON object")
        if record.get("kind") == "msg":
            yield number, record


def difference(record: dict[str, Any]) -> str:
    """What became another one by reading and writing the record's message; empty when nothing did."""
    direction = record.get("dir_")
    if direction not in (UP, DOWN):
        return f"dir_ is {direction!r}, neither {UP!r} nor {DOWN!r}"
    recorded = record.get("msg")
    try:
        read = typed.read(wire.decode(json.dumps(recorded)), direction)
        written = json.loads(wire.encode(read.message()))
    except msgspec.DecodeError as error:
        return str(error)
    if written == recorded:
        return ""
    return f"{read.kind.name}: {json.dumps(recorded)} was written as {json.dumps(written)}"


def main() -> int:
    """Read the files named on the command line and print the two counts."""
    parser = argparse.ArgumentParser(prog="python -m edgelab.protocol", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a recording, one record a line")
    read = differing = 0
    try:
        for path in parser.parse_args().files:
            for number, record in records(path):
                read += 1
                if what := difference(record):
                    differing += 1
                    print(f"{path}:{number}: {what}", file=sys.stderr)
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{read} read, {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
