"""Who on this machine listens on a TCP port, read from /proc."""

from __future__ import annotations

import contextlib
from pathlib import Path

LISTEN = "0A"


def holder(port: int, proc: Path = Path("/proc")) -> str:
    """`mosquitto (pid 123)`; `another process` when it cannot be seen whose the port is."""
    inodes = {
        f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _inodes(proc / "net" / table, port)
    }
    for process in proc.iterdir():
        if process.name.isdecimal() and inodes and _holds(process, inodes):
            with contextlib.suppress(OSError):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return "another process"


def _inodes(table: Path, port: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def _holds(process: Path, inodes: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in inodes for link in (process / "fd").iterdir())
    except OSError:  # it ended, or is none of ours to look at
        return False
