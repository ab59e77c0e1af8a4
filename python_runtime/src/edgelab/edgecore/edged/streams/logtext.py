"""What a container wrote, out of the lines of its log file (kubelet `kuberuntime/logs/logs.go`).

In CRI's format bytes stay as they are, also where they are no text.
"""

from __future__ import annotations

from edgelab.cri.logs import PARTIAL, parse
from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgecore.edged.streams.options import LogOptions

STREAMS = (b"stdout", b"stderr")
PART = PARTIAL.encode()
NOTHING = (b"", b"")


class LogText:
    """Takes blocks of whole lines and gives their text; `full` once there is as much as was asked for."""

    def __init__(self, wanted: LogOptions) -> None:
        self._since = wanted.since
        self._timestamps = wanted.timestamps
        self._left = wanted.limit
        self._begins = True
        self.full = False

    def feed(self, block: bytes) -> bytes:
        """The text of some whole lines."""
        out = []
        for raw in block.split(b"\n")[:-1]:
            time, text = _docker(raw) if raw.startswith(b"{") else _cri(raw)
            if not time or (self._since is not None and self._is_old(time)):
                continue
            if self._timestamps and self._begins:
                out += [time, b" "]
            self._begins = text.endswith(b"\n")
            out.append(text)
        found = b"".join(out)
        if self._left is not None:
            found = found[: self._left]
            self._left -= len(found)
            self.full = self._left <= 0
        return found

    def _is_old(self, time: bytes) -> bool:
        """A log is in the order of its times: after the first line that is new enough, all are."""
        assert self._since is not None
        try:
            old = parse_rfc3339(time.decode("ascii")) < self._since
        except (ValueError, TypeError):  # no time, or one without a zone
            return True
        if not old:
            self._since = None
        return old


def _cri(raw: bytes) -> tuple[bytes, bytes]:
    """Time and text of a line without its end; the text of a part has none, as the line goes on."""
    parts = raw.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in STREAMS:
        return NOTHING
    text = parts[3] if len(parts) == 4 else b""
    return parts[0], text if parts[2].startswith(PART) else text + b"\n"


def _docker(raw: bytes) -> tuple[bytes, bytes]:
    line = parse(raw)
    return NOTHING if line is None else (line.time.encode(), line.text.encode())
