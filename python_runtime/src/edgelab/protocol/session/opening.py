"""How a QUIC connection between peers of ours begins, and how the edge proves who it is.

On the one stream, which the edge opens, each a message of its own in JSON:
  edge   the headers of the WebSocket handshake, names in lower case: `{"node_id": "edge1", ...}`
  cloud  `{"nonce": base64}`, 32 random bytes
  edge   `{"chain": [base64 of DER, ...], "signature": base64}`, the node's own certificate first
  cloud  `{}`: let in; who is not is disconnected, with an HTTP status and `<reason>: <text>`
The signature (ECDSA, SHA-256) is over `statement`, which holds for this connection and this server only.
"""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

ALPN = "edgelab-hub/1"
STREAM = 0
"""The number of the stream: the first one with two directions that a client opens (RFC 9000, 2.1)."""
OPENING_LIMIT = 64 << 10
"""Bytes that a message may have until the edge is let in."""
NONCE_BYTES = 32
UNKNOWN_CERTIFICATE = "CertificateNotAccepted"
"""The reason when the proof is not one: another authority's certificate, a wrong signature."""
_LABEL = b" " * 64 + b"edgelab-hub/1, edge proof" + b"\0"
"""As in TLS 1.3 (RFC 8446, 4.4.3), so that a signature made for one thing is good for no other."""

T = TypeVar("T")


class Challenge(msgspec.Struct):
    """What the edge has to sign."""

    nonce: bytes


class Proof(msgspec.Struct):
    """Certificates in DER, the node's own first, and the signature by its key."""

    chain: list[bytes]
    signature: bytes


class OpeningError(ValueError):
    """What came is not what comes at this point; `str()` says so."""


def statement(nonce: bytes, server_certificate: bytes) -> bytes:
    """What is signed: `server_certificate` is the DER that TLS has verified (or served)."""
    return _LABEL + nonce + hashlib.sha256(server_certificate).digest()


def headers(frame: bytes) -> dict[str, str]:
    """Read the first message. Raises OpeningError."""
    return {name.lower(): value for name, value in read(frame, dict[str, str]).items()}


def read(frame: bytes, kind: type[T]) -> T:
    """Read any of these messages. Raises OpeningError."""
    try:
        return msgspec.json.decode(frame, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OpeningError(f"this is no opening message: {error}") from None


def written(message: msgspec.Struct | dict[str, str]) -> bytes:
    """The JSON of one of these messages."""
    return msgspec.json.encode(message)
