"""Seals: statements that only a CloudCore of this cluster can have made.

All CloudCores of a cluster have the authority's key (Secret `casecret`), and nobody else has. A seal is an
HMAC-SHA256 (RFC 2104) whose key is made of that one for one purpose, so that no seal can pass for a join
token, which is signed with the key itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac


class SealError(ValueError):
    """A text that no CloudCore of this cluster has sealed; `str()` says why and holds none of it."""


class Seal:
    """For one purpose. `key_der`: the authority's key, SEC1 DER."""

    def __init__(self, key_der: bytes, purpose: str) -> None:
        self._key = hmac.new(key_der, f"edgelab seal: {purpose}".encode(), hashlib.sha256).digest()

    def put(self, statement: bytes) -> str:
        """The statement with its seal: two parts in URL-safe base64, joined by a dot."""
        return f"{_encode(statement)}.{_encode(self._sign(statement))}"

    def take(self, text: str) -> bytes:
        """The statement. Raises SealError."""
        first, _, second = text.partition(".")
        try:
            statement, signature = _decode(first), _decode(second)
        except (binascii.Error, ValueError):
            raise SealError("the seal is malformed") from None
        if not hmac.compare_digest(signature, self._sign(statement)):
            raise SealError("the seal is not by a CloudCore that has this cluster's authority")
        return statement

    def _sign(self, statement: bytes) -> bytes:
        return hmac.new(self._key, statement, hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
