"""What is to be published where, looked at before a broker is asked (MQTT 3.1.1, sections 4.7 and 3.3)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelab.keadm.report import Failure

PORT, TLS_PORT = 1883, 8883
MAX_TOPIC = 65535
"""Bytes that a topic may have; its length is sent in 16 bits."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for a connection with TLS; without `ca` the system's authorities are trusted."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def check(self) -> None:
        """Raises Failure naming the flag whose file cannot be read, or which is missing."""
        for flag, path in (("--cafile", self.ca), ("--cert", self.cert), ("--key", self.key)):
            if path is not None:
                readable(flag, path)
        if (self.cert is None) != (self.key is None):
            raise Failure("--cert and --key belong together: give both", field="cert")


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is and who we are there."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: Tls | None = None

    @property
    def address(self) -> str:
        """Host and port for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def check(self) -> None:
        """Raises Failure naming what cannot be."""
        if not self.host:
            raise Failure("--host is empty", field="host")
        if self.password and not self.username:
            raise Failure("a password without --username is sent to nobody", field="username")
        if self.tls is not None:
            self.tls.check()


@dataclass(frozen=True, slots=True)
class Publication:
    """One message, and the topic on which an answer is awaited; empty when none is."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    wait_for: str = ""

    def check(self) -> None:
        """Raises Failure naming what cannot be."""
        if problem := topic_problem(self.topic):
            raise Failure(f"--topic {self.topic!r}: {problem}", field="topic")
        if self.wait_for and (problem := filter_problem(self.wait_for)):
            raise Failure(f"--wait-for {self.wait_for!r}: {problem}", field="wait_for")


def topic_problem(topic: str) -> str:
    """Why nothing can be published there; empty when it can."""
    if set("+#") & set(topic):
        return "+ and # are for subscriptions, a message has one topic"
    return _name_problem(topic)


def filter_problem(topic: str) -> str:
    """Why that cannot be subscribed to; empty when it can."""
    levels = topic.split("/")
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        return "# is the whole last level or nothing"
    if any("+" in level and level != "+" for level in levels):
        return "+ is a whole level or nothing"
    return _name_problem(topic)


def _name_problem(topic: str) -> str:
    if not topic:
        return "it is empty"
    if "\0" in topic:
        return "it holds a null character"
    return "" if len(topic.encode()) <= MAX_TOPIC else f"it is longer than {MAX_TOPIC} bytes"


def readable(flag: str, path: Path) -> bytes:
    """The content of a file that a flag names. Raises Failure."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{flag} {path}: {error.strerror}", field=flag.lstrip("-")) from None


def spoken(text: str) -> tuple[str, str]:
    """Payload and password out of a JSON object. Raises Failure."""
    try:
        told: Any = json.loads(text)
    except ValueError as error:
        raise Failure(f"--request: no JSON: {error}", field="request") from None
    values = told if isinstance(told, dict) else {"": told}
    wrong = [key for key, value in values.items() if key not in ("payload", "password") or value is None]
    if wrong or not all(isinstance(value, str) for value in values.values()):
        raise Failure(
            '--request: expected {"payload": "text", "password": "text"}, either may be left out',
            field="request",
        )
    return values.get("payload", ""), values.get("password", "")
