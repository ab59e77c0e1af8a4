"""What a query asks for: PodLogOptions, PodExecOptions, PodAttachOptions, PodPortForwardOptions.

Decoded by the rules of `apimachinery/pkg/runtime` for queries, checked as
`ValidatePodLogOptions` does. kube-apiserver 1.35 refuses `stream`, which is behind a feature gate.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import NamedTuple

from multidict import MultiMapping

from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, invalid
from edgelab.edgesite.apiserver.request import flag, number
from edgelab.objects.status import ApiError

Query = MultiMapping[str]
Pairs = list[tuple[str, str]]

STREAMS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))
POSITIVE = "must be greater than 0"
BOTH_TIMES = "at most one of `sinceTime` or `sinceSeconds` may be specified"
LAYOUT = "2006-01-02T15:04:05Z07:00"


class LogOptions(NamedTuple):
    """`parameters` are what the kubelet is asked with."""

    container: str
    follow: bool
    insecure: bool
    parameters: Pairs


class StreamOptions(NamedTuple):
    """Of exec and attach."""

    container: str
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool
    command: list[str]

    def stream_types(self) -> list[str]:
        """The streams that are opened, in their order; a terminal has no separate stderr."""
        present = {
            "error": True,
            "stdin": self.stdin,
            "stdout": self.stdout,
            "stderr": self.stderr and not self.tty,
            "resize": self.tty,
        }
        return [name for name, wanted in present.items() if wanted]

    def parameters(self) -> Pairs:
        """What the kubelet is asked with."""
        pairs = [(short, "1") for name, short in STREAMS if getattr(self, name)]
        return pairs + [("command", word) for word in self.command]


def log_options(query: Query, name: str) -> LogOptions:
    """Of a pod's log. Raises ApiError 400 and 422."""
    numbers = {}
    for option in ("sinceSeconds", "sinceTime", "tailLines", "limitBytes"):  # the order of their decoding
        if option in query:
            numbers[option] = _time(query[option]) if option == "sinceTime" else str(number(query, option))
    causes = list(_log_problems(query, numbers))
    if causes:
        raise invalid("PodLogOptions", "", name, causes)
    flags = [(option, "true") for option in ("follow", "previous", "timestamps") if flag(query, option)]
    return LogOptions(
        query.get("container", ""),
        flag(query, "follow"),
        flag(query, "insecureSkipTLSVerifyBackend"),
        [*flags, *numbers.items()],
    )


def _log_problems(query: Query, numbers: dict[str, str]) -> Iterator[Cause]:
    if int(numbers.get("tailLines", 0)) < 0:
        yield bad("tailLines", int(numbers["tailLines"]), "must be greater than or equal to 0")
    if int(numbers.get("limitBytes", 1)) < 1:
        yield bad("limitBytes", int(numbers["limitBytes"]), POSITIVE)
    if "sinceSeconds" in numbers and "sinceTime" in numbers:
        yield forbidden("[]", BOTH_TIMES)
    elif int(numbers.get("sinceSeconds", 1)) < 1:
        yield bad("sinceSeconds", int(numbers["sinceSeconds"]), POSITIVE)
    if "stream" in query:
        yield forbidden("stream", "may not be specified")


def _time(text: str) -> str:
    """A moment to the second, in UTC: it is a `metav1.Time` on its way. Raises ApiError 400."""
    if text in ("", "null"):
        return "0001-01-01T00:00:00Z"
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        why = f'parsing time "{text}" as "{LAYOUT}": cannot parse "{text}" as "2006"'
        raise ApiError(400, why) from error
    if moment.tzinfo is None:
        raise ApiError(400, f'parsing time "{text}" as "{LAYOUT}": cannot parse "" as "Z07:00"')
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stream_options(query: Query, subresource: str) -> StreamOptions:
    """Of exec or attach."""
    stdin, stdout, stderr, tty = (flag(query, name) for name, _ in STREAMS)
    command = query.getall("command", []) if subresource == "exec" else []
    return StreamOptions(query.get("container", ""), stdin, stdout, stderr, tty, command)


def ports(query: Query) -> Pairs:
    """Of portforward. Raises ApiError 400."""
    words = [word for text in query.getall("ports", []) for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"[0-9]+", word, re.ASCII):
            text = f'cannot convert to []int32: strconv.ParseUint: parsing "{word}": invalid syntax'
            raise ApiError(400, text)
        if int(word) >= 1 << 16:
            text = f'cannot convert to []int32: strconv.ParseUint: parsing "{word}": value out of range'
            raise ApiError(400, text)
    return [("port", ",".join(str(int(word)) for word in words))] if words else []
