"""Options of the mapper: flags win over the environment, that over a YAML file, that over defaults."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgelab import __version__
from edgelab.daemon.errors import Fatal
from edgelab.mappers.cpu_temperature.sensor import KINDS

ENVIRONMENT = "EDGELAB_CPU_TEMPERATURE_"


class Options(msgspec.Struct, kw_only=True):
    """Where to report what, and how often; cycles in seconds."""

    broker: str = "tcp://127.0.0.1:1883"
    username: str = ""
    password_file: str = ""
    namespace: str = "default"
    device: str
    property: str = "temperature"
    sensor: str = "auto"
    collect_cycle: float = 2.0
    report_cycle: float = 2.0


HELP = {
    "broker": "MQTT broker, tcp://host:port",
    "username": "user at the broker",
    "password_file": "file with the user's password",
    "namespace": "namespace of the Device object",
    "device": "name of the Device object",
    "property": "name of the property that holds the temperature",
    "sensor": f"where the temperature comes from: {', '.join(KINDS)}",
    "collect_cycle": "seconds between two readings",
    "report_cycle": "least seconds between two reports",
}


def parser() -> argparse.ArgumentParser:
    """The command line; every option may also be set by an environment variable or the file."""
    flags = argparse.ArgumentParser(
        prog="edgelab-cpu-temperature",
        description="Reports the CPU's temperature to the device twin over MQTT.",
        epilog=f"An option --like-this may be given as {ENVIRONMENT}LIKE_THIS, or as like_this in the file.",
        allow_abbrev=False,
    )
    flags.add_argument("--config", type=Path, metavar="FILE", help="YAML file with options")
    for name, text in HELP.items():
        flags.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=text)
    flags.add_argument("--describe", action="store_true", help="tell sensor and version as JSON, and exit")
    flags.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return flags


def gather(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Options:
    """The options that hold. Raises Fatal naming the one that is wrong."""
    values: dict[str, Any] = _file(arguments.config) if arguments.config else {}
    for name in HELP:
        flag = getattr(arguments, name)
        value = environment.get(ENVIRONMENT + name.upper()) if flag is None else flag
        if value is not None:
            values[name] = value
    try:
        options = msgspec.convert(values, Options, strict=False)
    except msgspec.ValidationError as error:
        raise Fatal(f"options: {error}") from None
    if options.collect_cycle <= 0 or options.report_cycle <= 0:
        raise Fatal("options: collect_cycle and report_cycle must be more than 0 seconds")
    return options


def _file(path: Path) -> dict[str, Any]:
    from edgelab.settings.document import ConfigError, read_yaml  # noqa: PLC0415 - YAML only where a file is

    try:
        values = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror}") from None
    except ConfigError as error:
        raise Fatal(str(error)) from None
    if unknown := sorted(set(values) - set(HELP)):
        raise Fatal(f"{path}: unknown option {unknown[0]!r}")
    return values


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's arguments."""
    return parser().parse_args(arguments)
