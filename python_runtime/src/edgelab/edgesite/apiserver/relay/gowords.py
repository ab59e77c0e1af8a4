"""Failures of a connection as Go's `net` and `crypto/tls` word them: kubectl shows these to people."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path

from edgelab.edgesite.apiserver.relay.places import bracketed

RESOLVER = Path("/etc/resolv.conf")
CALLS = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ECONNRESET: "connection reset by peer",
    errno.ETIMEDOUT: "connection timed out",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
    errno.EACCES: "permission denied",
    errno.EINVAL: "invalid argument",
}
EXPIRED, MISMATCH = (10, 9), (62, 64)
"""OpenSSL's verification errors: expired or not yet valid; another host's name or address."""


def not_resolved(host: str, error: socket.gaierror) -> str:
    """Of a name that has no address."""
    unknown = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
    why = "no such host" if unknown else "server misbehaving"
    return f"dial tcp: lookup {host}{_resolver()}: {why}"


def _resolver() -> str:
    try:
        lines = RESOLVER.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    servers = (line.split()[1] for line in lines if line.startswith("nameserver ") and len(line.split()) > 1)
    server = next(servers, "")
    return f" on {bracketed(server)}:53" if server else ""


def not_connected(address: str, port: int, error: OSError) -> str:
    """Of an address that does not answer."""
    where = f"dial tcp {bracketed(address)}:{port}"
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"{where}: i/o timeout"
    why = CALLS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    return f"{where}: connect: {why}"


def not_secured(host: str, error: Exception) -> str:
    """Of a TLS handshake that failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in EXPIRED:
            why = "certificate has expired or is not yet valid"
        elif error.verify_code in MISMATCH:
            why = f"certificate is not valid for {host}"
        else:
            why = "certificate signed by unknown authority"
        return f"tls: failed to verify certificate: x509: {why}"
    if isinstance(error, TimeoutError) or "handshake is taking longer" in str(error):
        return "net/http: TLS handshake timeout"
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
            return "http: server gave HTTP response to HTTPS client"
        return f"remote error: tls: {(error.reason or str(error)).lower().replace('_', ' ')}"
    return "EOF"
