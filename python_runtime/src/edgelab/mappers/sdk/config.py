"""A mapper's configuration file, in the layout of KubeEdge's mapper-framework (`config.yaml`).

`grpc_server` and `common` are the framework's. `mqtt`, `models` and `devices` are ours: with them the mapper
reports over plain MQTT, and its devices are named here, as documents of the API that one would apply.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgelab import __version__
from edgelab.daemon.errors import Fatal
from edgelab.settings.document import ConfigError, read_yaml


class GrpcServer(msgspec.Struct, forbid_unknown_fields=True):
    """The mapper's own socket."""

    socket_path: str = ""


class Common(msgspec.Struct, forbid_unknown_fields=True):
    """Who the mapper is. Its REST API listens on `address`, `http_port`; port 0 means that there is none."""

    name: str = ""
    version: str = __version__
    api_version: str = "v1.0.0"
    protocol: str = ""
    address: str = "127.0.0.1"
    edgecore_sock: str = "/etc/kubeedge/dmi.sock"
    http_port: int = 7777


class Mqtt(msgspec.Struct, forbid_unknown_fields=True):
    """A broker to report to instead of DMI."""

    address: str
    username: str = ""
    password_file: str = ""


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    grpc_server: GrpcServer = msgspec.field(default_factory=GrpcServer)
    common: Common = msgspec.field(default_factory=Common)
    mqtt: Mqtt | None = None
    models: list[dict[str, Any]] = []
    devices: list[dict[str, Any]] = []


def load(path: Path, protocol: str) -> Config:
    """Read a file; names and paths that it leaves out follow from the protocol. Raises Fatal."""
    try:
        values = read_yaml(path.read_text(encoding="utf-8"), str(path))
        config = msgspec.convert(values, Config, strict=False)
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror}") from None
    except ConfigError as error:
        raise Fatal(str(error)) from None
    except msgspec.ValidationError as error:
        raise Fatal(f"{path}: {error}") from None
    common = config.common
    common.protocol = common.protocol or protocol
    common.name = common.name or f"{common.protocol}-mapper"
    config.grpc_server.socket_path = config.grpc_server.socket_path or f"/etc/kubeedge/{common.name}.sock"
    if config.devices and config.mqtt is None:
        raise Fatal(f"{path}: devices: EdgeCore names them through DMI; a list is for mappers with `mqtt`")
    if not 0 <= common.http_port <= 65535:
        raise Fatal(f"{path}: common.http_port: a port, or 0 for no REST API")
    return config
