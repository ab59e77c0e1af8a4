"""A whole mapper out of a driver: command line, configuration, link, devices and REST API."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgelab import __version__
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.deferred import defer
from edgelab.daemon.errors import Fatal
from edgelab.daemon.main import configure_logging, run
from edgelab.daemon.notify import ready
from edgelab.daemon.tasks import Module, run_modules
from edgelab.mappers.sdk.config import Config, load
from edgelab.mappers.sdk.driver import Driver
from edgelab.mappers.sdk.fleet import Fleet
from edgelab.mappers.sdk.http import HttpServer
from edgelab.mappers.sdk.model import Device
from edgelab.mappers.sdk.rest import CORRELATION, Rest

Drive = Callable[[Device], Driver]
UNUSED = ("google.protobuf.internal.python_message", "importlib.metadata", "urllib.request")
"""What protobuf (its implementation in Python) and paho (proxies) import for cases that are not ours."""


def main(program: str, drive: Drive, protocol: str, arguments: Sequence[str] | None = None) -> int:
    """Run a mapper whose devices `drive` makes drivers for; gives the exit status."""
    flags = argparse.ArgumentParser(prog=program, description=f"KubeEdge mapper for protocol {protocol}.")
    flags.add_argument("--config-file", "--config", type=Path, default=Path("config.yaml"), metavar="FILE")
    flags.add_argument("--check", action="store_true", help="say what is wrong with the file, and end")
    flags.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    options = flags.parse_args(arguments)
    configure_logging()
    defer(*UNUSED)
    try:
        config = load(options.config_file, protocol)
        if options.check:
            check(config)
            return 0
    except Fatal as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.code
    return run(program, lambda: serve(config, drive), plain_loop=True)


def check(config: Config) -> None:
    """Find what is wrong with a configuration before a mapper starts; no secret is read. Raises Fatal."""
    if config.mqtt is not None:
        from edgelab.mappers.sdk.mqtt import split_address  # noqa: PLC0415 - a mapper has one link

        split_address(config.mqtt.address)
        _documents(config)


async def serve(config: Config, drive: Drive, clock: Clock = SYSTEM) -> None:
    """Run the mapper until cancelled. Raises Fatal."""
    fleet = Fleet(drive, clock)
    link: Any = _mqtt(config, fleet, clock) if config.mqtt else _dmi(config, fleet, clock)
    fleet.attach(link)
    modules: list[Module] = [link]
    common = config.common
    if common.http_port:
        server = HttpServer(
            common.address, common.http_port, Rest(fleet, clock).handle, correlate=CORRELATION
        )
        modules.append(_Named("rest", server))
    ready(f"protocol {common.protocol}")
    try:
        await run_modules(modules)
    finally:
        await fleet.close()


def _dmi(config: Config, fleet: Fleet, clock: Clock) -> Any:
    from edgelab.mappers.sdk.dmi import DmiLink, Identity  # noqa: PLC0415 - a mapper has one link

    common = config.common
    identity = Identity(common.name, common.protocol, common.version, common.api_version)
    own, edgecore = Path(config.grpc_server.socket_path), Path(common.edgecore_sock)
    return DmiLink(identity, own, edgecore, fleet, clock)


def _mqtt(config: Config, fleet: Fleet, clock: Clock) -> Any:
    from edgelab.mappers.sdk.broker import MqttLink  # noqa: PLC0415 - a mapper has one link
    from edgelab.mappers.sdk.mqtt import Broker, password  # noqa: PLC0415

    mqtt = config.mqtt
    assert mqtt is not None
    models, devices = _documents(config)
    broker = Broker(
        mqtt.address,
        config.common.name,
        username=mqtt.username,
        password=password(mqtt.password_file),
        clock=clock,
    )
    return MqttLink(broker, fleet, models, devices)


def _documents(config: Config) -> tuple[list[Any], list[Any]]:
    """The models and devices of the file as messages of DMI."""
    from edgelab.protocol.dmi.objects import device_message, model_message  # noqa: PLC0415 - only with MQTT

    try:
        models = [model_message(model) for model in config.models]
        defaults = {model.name: raw for model, raw in zip(models, config.models, strict=True)}
        devices = [device_message(raw, defaults.get(_model_name(raw))) for raw in config.devices]
    except ValueError as error:
        raise Fatal(f"devices or models: {error}") from None
    return models, devices


def _model_name(device: dict[str, Any]) -> str:
    spec = device.get("spec")
    reference = spec.get("deviceModelRef") if isinstance(spec, dict) else None
    return str(reference.get("name")) if isinstance(reference, dict) else ""


class _Named:
    """A server as a module."""

    def __init__(self, name: str, server: HttpServer) -> None:
        self.name = name
        self._server = server

    async def run(self) -> None:
        """Serve."""
        await self._server.run()
