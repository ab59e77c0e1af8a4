"""Where a broker listens, read from the settings, and the TLS that goes with it."""

from __future__ import annotations

import logging
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

from edgelab.daemon.errors import Fatal
from edgelab.settings.edgecore import EventBusTLS

log = logging.getLogger(__name__)

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


def client_tls(tls: EventBusTLS, *, encrypted: bool) -> ssl.SSLContext | None:
    """TLS towards the external broker: with `enable` it is checked and shown our certificate."""
    if not encrypted and not tls.enable:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.enable:
        _load(context, tls, check_peer=True)
        return context
    # As the original does; whoever wants the broker checked enables eventBusTLS.
    log.warning("the MQTT broker's certificate is not checked; eventBusTLS.enable: true checks it")
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def server_tls(tls: EventBusTLS, *, encrypted: bool) -> ssl.SSLContext | None:
    """TLS of the internal broker: with `enable` clients must show a certificate of the CA."""
    if not encrypted:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, tls, check_peer=tls.enable)
    if tls.enable:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load(context: ssl.SSLContext, tls: EventBusTLS, *, check_peer: bool) -> None:
    where = "modules.eventBus.eventBusTLS"
    try:
        if check_peer:
            context.load_verify_locations(tls.tlsMqttCAFile)
        context.load_cert_chain(tls.tlsMqttCertFile, tls.tlsMqttPrivateKeyFile)
    except (OSError, ssl.SSLError) as error:
        raise Fatal(f"{where}: a file cannot be used: {error}") from error
