"""`keadm diagnose node`: configuration, certificate, join token and tunnel of this edge node."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgelab.keadm.diagnose_findings import Finding, configuration, expiry, failed, ok, unknown, warning
from edgelab.keadm.diagnose_runtime import CODES as RUNTIME_CODES
from edgelab.keadm.diagnose_runtime import diagnose_runtime
from edgelab.keadm.diagnose_tunnel import CODE as TUNNEL
from edgelab.keadm.diagnose_tunnel import configured as tunnel

CERT, CERT_EXPIRY, TOKEN = "EDGE-CERT", "EDGE-CERT-EXPIRY", "EDGE-TOKEN"
USER_PREFIX = "system:node:"
OLD_TOKEN = dt.timedelta(hours=1)
Now = Callable[[], dt.datetime]


def utc_now() -> dt.datetime:
    """The machine's clock, in UTC."""
    return dt.datetime.now(dt.UTC)


def diagnose(config: Path, name: str, now: Now = utc_now) -> tuple[list[Finding], dict[str, Any]]:
    """All findings, and the settings that checks outside need."""
    from edgelab.settings.edgecore import PROGRAM

    findings, settings = configuration("EDGE", PROGRAM, config)
    if settings is None:
        reason = "there is no configuration that could be read"
        return [*findings, *unknown((CERT, CERT_EXPIRY, TOKEN, TUNNEL, *RUNTIME_CODES), reason)], {}
    name = name or settings.modules.edged.hostnameOverride or socket.gethostname().lower()
    findings += certificate(settings.modules.edgeHub, name, now())
    findings += token(settings, now())
    findings.append(tunnel(settings.modules.edgeStream))
    findings += diagnose_runtime(settings)
    return findings, summary(settings)


def summary(settings: Any) -> dict[str, Any]:
    """What checks of the host need to know; no secret."""
    bus, edged, mqtt = settings.modules.eventBus, settings.modules.edged, settings.edgelab.mqtt
    return {
        "cgroup_driver": edged.tailoredKubeletConfig.cgroupDriver,
        "node_name": edged.hostnameOverride,
        "mqtt_mode": bus.mqttMode if bus.enable else None,
        "mqtt_external": bare(bus.mqttServerExternal),
        "mqtt_internal": bare(bus.mqttServerInternal),
        "mqtt_users": bool(mqtt.passwordFile),
        "mqtt_rules": bool(mqtt.aclFile),
    }


def bare(url: str) -> str:
    """A URL without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else url


def certificate(hub: Any, name: str, now: dt.datetime) -> list[Finding]:
    """The node's certificate: its key's, of this node, by the pinned CA, and how long it is good."""
    from edgelab.identity.ca import load_certificate, subject_of
    from edgelab.identity.files import matches

    ca_file, cert_file, key_file = (Path(p) for p in (hub.tlsCaFile, hub.tlsCertFile, hub.tlsPrivateKeyFile))
    again = f"remove {cert_file} and {key_file}, then run site.yml --tags edgecore: the node joins anew"
    missing = [str(path) for path in (ca_file, cert_file, key_file) if not path.exists()]
    if len(missing) == 3:
        return unknown((CERT, CERT_EXPIRY), "the node has not joined yet")
    if missing:
        lost = failed(CERT, f"not there: {', '.join(missing)}", again)
        return [lost, *unknown((CERT_EXPIRY,), "the certificate is not complete")]
    try:
        own, authority = load_certificate(cert_file.read_bytes()), load_certificate(ca_file.read_bytes())
    except ValueError as error:
        unreadable = failed(CERT, f"cannot be read: {error}", again, str(cert_file))
        return [unreadable, *unknown((CERT_EXPIRY,), "the certificate cannot be read")]
    end = expiry(CERT_EXPIRY, str(cert_file), own.not_valid_after_utc, now, again)
    holder = subject_of(own)[0]
    if not matches(cert_file, key_file):
        wrong = f"{key_file} is not its key"
    elif holder != USER_PREFIX + name:
        wrong = f"is for {holder}, and this node is {name}"
        again = f"set edgecore_node_name to the name that it was made for, or {again}"
    elif not signed_by(own, authority):
        wrong = f"was not signed by {ca_file}"
    else:
        return [ok(CERT, f"{cert_file} belongs to {name}"), end]
    return [failed(CERT, wrong, again, str(cert_file)), end]


def signed_by(own: Any, authority: Any) -> bool:
    """Whether a certificate was signed by an authority's."""
    from cryptography.exceptions import InvalidSignature

    try:
        own.verify_directly_issued_by(authority)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def token(settings: Any, now: dt.datetime) -> list[Finding]:
    """A join token on this node: its file goes away when the node has joined."""
    from edgelab.identity.token import expiry as ends

    file = Path(settings.edgelab.bootstrapFile)
    joined = Path(settings.modules.edgeHub.tlsCertFile).exists()
    inline = settings.modules.edgeHub.token
    if not file.exists() and not inline:
        return [ok(TOKEN, "no join token lies about")]
    where = str(file) if file.exists() else "modules.edgeHub.token"
    end = ends(file.read_text(encoding="utf-8") if file.exists() else inline)
    fresh = "run site.yml --tags edgecore, which fetches a new one"
    if joined:
        return [warning(TOKEN, "the node has joined and needs no token", f"remove it: {where}", where)]
    if end is None:
        return [failed(TOKEN, "is no join token (four parts joined by dots)", fresh, where)]
    if end <= now:
        return [failed(TOKEN, f"expired on {end:%Y-%m-%d %H:%M} UTC", fresh, where)]
    left = end - now
    text = f"is good for {left / dt.timedelta(hours=1):.1f} hours more"
    return [warning(TOKEN, text, fresh, where) if left < OLD_TOKEN else ok(TOKEN, text, where)]
