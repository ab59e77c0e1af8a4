"""Lines of container logs: CRI's own format, and Docker's json-file (kubelet `kuberuntime/logs`).

2026-11-21T10:00:00.000000000Z stdout F text
{"log":"text\\n","stream":"stdout","time":"2026-11-21T10:00:00.000000000Z"}
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

PARTIAL = "P"


class Line(NamedTuple):
    """A piece of a container's output; `text` ends with a newline unless the line goes on."""

    time: str
    stream: str
    text: str


class _DockerLine(msgspec.Struct):
    log: str = ""
    stream: str = ""
    time: str = ""


_docker = msgspec.json.Decoder(_DockerLine)


def parse(line: bytes) -> Line | None:
    """Read one line of a log file; None for what is in neither format (a line cut off by a crash)."""
    if line.startswith(b"{"):
        try:
            found = _docker.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return Line(found.time, found.stream, found.log)
    parts = line.rstrip(b"\n").decode(errors="replace").split(" ", 3)
    if len(parts) < 3 or parts[1] not in ("stdout", "stderr"):
        return None
    text = parts[3] if len(parts) == 4 else ""
    return Line(parts[0], parts[1], text if parts[2].startswith(PARTIAL) else text + "\n")
