"""console.yaml: where the page is served, and where it reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from edgelab.daemon.errors import Fatal
from edgelab.settings.checks import Test, each, is_absolute, is_endpoint, is_ip, is_url, within
from edgelab.settings.commandline import Program
from edgelab.settings.document import Problem

HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
DEFAULT_PATH = Path("/etc/edgelab/console.yaml")
MOST_CLIENTS = 1000


class Settings(msgspec.Struct, kw_only=True, rename="camel"):
    """Defaults suit the host of the control plane and of the time-series database."""

    listen: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.1:9190"])
    kube_config: str = "/etc/edgelab/console.kubeconfig"
    time_series: str = "http://127.0.0.1:8428"
    """VictoriaMetrics; empty where there is none."""
    password_file: str = ""
    """Empty: whoever reaches the port sees the page."""
    names: list[str] = []
    """Host names beside this host's own and its addresses under which a browser may ask for the page."""
    max_clients: int = 64
    logs: bool = True
    """Whether whoever sees the page may read the logs of pods."""


def validate(settings: Settings) -> list[Problem]:
    """Everything that is wrong, each with its field."""
    return list(_problems(settings))


def _problems(settings: Settings) -> Iterator[Problem]:
    if not settings.listen:
        yield Problem("listen", "at least one ADDRESS:PORT is needed")
    yield from each(
        "listen", enumerate(settings.listen), _is_listener, "ADDRESS:PORT, such as 127.0.0.1:9190"
    )
    yield from _field("kubeConfig", settings.kube_config, is_absolute, "an absolute path")
    if settings.time_series:
        yield from _field("timeSeries", settings.time_series, is_url("http", "https"), "a URL, or nothing")
        if "@" in urlsplit(settings.time_series).netloc:
            yield Problem("timeSeries", "a password in a URL ends in logs: let the database trust this host")
    if settings.password_file:
        yield from _field("passwordFile", settings.password_file, is_absolute, "an absolute path")
    yield from each("names", enumerate(settings.names), _is_name, "a host name without a port")
    yield from _field("maxClients", settings.max_clients, within(1, MOST_CLIENTS), f"1 to {MOST_CLIENTS}")


def _field(name: str, value: Any, test: Test, expected: str) -> Iterator[Problem]:
    if not test(value):
        yield Problem(name, f"{value!r}: expected {expected}")


def _is_listener(text: str) -> bool:
    return is_endpoint(text) and is_ip(text.rpartition(":")[0].strip("[]"))


def _is_name(text: str) -> bool:
    return len(text) <= 253 and HOST_NAME.fullmatch(text) is not None


def read_password(path: str) -> str:
    """The password in a file, without the newline at its end. Raises Fatal."""
    try:
        password = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Fatal(f"passwordFile {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    if not password or "\n" in password:
        raise Fatal(f"passwordFile {path}: one line with the password is expected")
    return password


def _minimal() -> dict[str, Any]:
    defaults = Settings()
    return {"listen": defaults.listen, "kubeConfig": defaults.kube_config}


PROGRAM: Program[Settings] = Program("edgelab-console", DEFAULT_PATH, Settings, _minimal, validate)
