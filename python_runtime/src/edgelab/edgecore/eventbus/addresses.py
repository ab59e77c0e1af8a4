"""Where a broker listens, read from the settings."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from edgelab.daemon.errors import Fatal

PORTS = {"tcp": 1883, "mqtt": 1883, "ssl": 8883, "tls": 8883, "mqtts": 8883}


class Address(NamedTuple):
    """A broker's place."""

    host: str
    port: int
    encrypted: bool
    """Whether the scheme asks for TLS."""


def address(setting: str, url: str) -> Address:
    """Read `mqttServerInternal` or `mqttServerExternal`. Raises Fatal."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in PORTS or not parts.hostname:
        raise Fatal(f"modules.eventBus.{setting}: {url!r} is neither tcp://HOST:PORT nor ssl://HOST:PORT")
    return Address(parts.hostname, port or PORTS[parts.scheme], PORTS[parts.scheme] == 8883)
