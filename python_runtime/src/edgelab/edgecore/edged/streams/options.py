"""Parameters of a kubelet's requests (`pkg/kubelet/server/server.go`, `k8s.io/kubelet/pkg/cri/streaming`)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from urllib.parse import parse_qsl

from edgelab.cri.joining import Wanted
from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgecore.kubelet import Refused

TRUE, FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("", "0", "f", "F", "FALSE", "false", "False")
INVALID = 422


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`v1.PodLogOptions`; `since` is what is older than is left out."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    limit: int | None = None
    since: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What exec and attach connect to."""

    command: tuple[str, ...]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @property
    def streams(self) -> Wanted:
        """As a runtime without a streaming server has it."""
        return Wanted(self.stdin, self.stdout, self.stderr, self.tty)


def log_options(query: str, now: dt.datetime) -> LogOptions:
    """Raises Refused 422 that names the parameter."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    if given.get("sinceSeconds") and given.get("sinceTime"):
        raise Refused(INVALID, "sinceSeconds and sinceTime: at most one of them may be given")
    seconds = _number(given, "sinceSeconds", 1)
    try:
        since = None if seconds is None else now - dt.timedelta(seconds=seconds)
    except OverflowError:
        since = None
    return LogOptions(
        follow=_flag(given, "follow"),
        previous=_flag(given, "previous"),
        timestamps=_flag(given, "timestamps"),
        tail=_number(given, "tailLines", 0),
        limit=_number(given, "limitBytes", 1),
        since=_moment(given["sinceTime"]) if given.get("sinceTime") else since,
    )


def stream_options(query: str) -> StreamOptions:
    """Raises Refused 400 when nothing would be connected."""
    values = parse_qsl(query, keep_blank_values=True)
    on = {name for name, value in values if value == "1"}
    tty = "tty" in on
    found = StreamOptions(
        command=tuple(value for name, value in values if name == "command"),
        stdin="input" in on,
        stdout="output" in on,
        # A terminal has one output.
        stderr="error" in on and not tty,
        tty=tty,
    )
    if not (found.stdin or found.stdout or found.stderr):
        raise Refused(400, "you must specify at least 1 of stdin, stdout, stderr")
    return found


def ports(query: str) -> list[int]:
    """Of portForward by WebSocket; SPDY names them later. Raises Refused 400."""
    found = []
    for name, value in parse_qsl(query):
        if name != "port":
            continue
        for part in value.split(","):
            if not part.isascii() or not part.isdigit() or not 0 < int(part) < 1 << 16:
                raise Refused(400, f"port {part!r} is no port")
            found.append(int(part))
    return found


def _flag(given: dict[str, str], name: str) -> bool:
    value = given.get(name, "")
    if value not in TRUE and value not in FALSE:
        raise Refused(INVALID, f"{name}: {value!r} is neither true nor false")
    return value in TRUE


def _number(given: dict[str, str], name: str, least: int) -> int | None:
    value = given.get(name, "")
    if not value:
        return None
    if not (value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20):
        raise Refused(INVALID, f"{name}: {value[:40]!r} is no whole number")
    if int(value) < least:
        raise Refused(INVALID, f"{name}: must be {least} or more")
    return int(value)


def _moment(text: str) -> dt.datetime:
    try:
        moment = parse_rfc3339(text)
        if moment.tzinfo is None:
            raise ValueError("no zone")
    except ValueError:
        raise Refused(INVALID, f"sinceTime: {text[:40]!r} is no time like 2026-01-31T12:00:00Z") from None
    return moment
