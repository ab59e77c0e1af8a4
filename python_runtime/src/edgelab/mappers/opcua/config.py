"""What `configData` of devices and visitors says; v1alpha2's `protocol.opcua` has the same names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from edgelab.mappers.sdk.fields import Fields
from edgelab.mappers.sdk.model import Device, Property

POLICIES = ("None", "Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
MODES = ("None", "Sign", "SignAndEncrypt")
DEFAULT_TIMEOUT, LONGEST_TIMEOUT = 4.0, 8.0
ENVIRONMENT = "OPCUA_"
"""How variables begin that a device may name: whoever applies devices shall not get others."""
OLD_NODE = re.compile(r"^(ns=\d+),")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and how to log on to it. Equal ones share a session."""

    url: str
    user: str
    password: str = field(repr=False)
    policy: str
    mode: str
    certificate: str
    key: str
    server_certificate: str
    timeout: float


def endpoint(device: Device, environment: Mapping[str, str] = os.environ) -> Endpoint:
    """How a device's server is reached. Raises ValueError that names the field, and OSError for a file."""
    fields = Fields(device.config, "configData")
    policy = fields.choice("securityPolicy", among=POLICIES, default="None")
    secured = policy != "None"
    mode = fields.choice("securityMode", among=MODES, default="SignAndEncrypt" if secured else "None")
    if secured != (mode != "None"):
        raise fields.wrong("securityMode", f"{mode} does not go with securityPolicy {policy}")
    timeout = fields.number("timeout", default=DEFAULT_TIMEOUT)
    if not timeout > 0:
        raise fields.wrong("timeout", f"{timeout:g}: expected more than 0 seconds")
    return Endpoint(
        url=_url(fields),
        user=fields.text("userName", default=""),
        password=_password(fields, environment),
        policy=policy,
        mode=mode,
        certificate=_file(fields, "certificate", secured),
        key=_file(fields, "privateKey", secured),
        server_certificate=_file(fields, "serverCertificate", fields.has("serverCertificate")),
        timeout=min(timeout, LONGEST_TIMEOUT),
    )


def node_id(prop: Property) -> tuple[str, str]:
    """A property's node id, or else the path of browse names below Objects. Raises ValueError."""
    fields = Fields(prop.visitor, f"property {prop.name}: configData")
    found = OLD_NODE.sub(r"\1;", fields.text("nodeID", default=""))
    path = fields.text("browseName", default="")
    if not found and not path:
        raise fields.wrong("nodeID", "is missing")
    return found, path


def _url(fields: Fields) -> str:
    url = fields.text("url")
    try:
        parts = urlsplit(url)
        whole = parts.scheme == "opc.tcp" and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole or parts.password:
        raise fields.wrong("url", "expected opc.tcp://HOST:PORT/PATH without a password")
    return url


def _password(fields: Fields, environment: Mapping[str, str]) -> str:
    """A password from a credential of the service, a variable, or the document itself."""
    if fields.has("passwordFile"):
        name = fields.text("passwordFile")
        directory = environment.get("CREDENTIALS_DIRECTORY", "")
        if "/" in name or name in (".", ".."):
            raise fields.wrong("passwordFile", f"{name!r}: expected the name of a credential, no path")
        if not directory:
            raise fields.wrong("passwordFile", "the mapper has no credentials ($CREDENTIALS_DIRECTORY)")
        try:
            return (Path(directory) / name).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise fields.wrong("passwordFile", f"{name}: {error.strerror}") from None
    if fields.has("passwordEnv"):
        name = fields.text("passwordEnv")
        if not name.startswith(ENVIRONMENT):
            raise fields.wrong("passwordEnv", f"{name!r}: expected a name that begins with {ENVIRONMENT}")
        if name not in environment:
            raise fields.wrong("passwordEnv", f"variable {name} is not set")
        return environment[name]
    return fields.text("password", default="")


def _file(fields: Fields, name: str, wanted: bool) -> str:
    if not wanted:
        return ""
    path = fields.text(name)
    if not Path(path).is_file():
        raise fields.wrong(name, f"{path}: there is no such file")
    return path
