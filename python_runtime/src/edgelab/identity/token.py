"""Join tokens: `<sha256 of the CA's DER, hex>.<JWT>`.

The JWT is HS256 with the CA key's SEC1 DER bytes as its secret and has one claim, `exp`
(KubeEdge `pkg/security/token`, our docs/reference/protocol.md).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import json
from typing import NamedTuple

HEADER = {"alg": "HS256", "typ": "JWT"}


class TokenError(ValueError):
    """A token that must not be accepted; the text says why and holds no part of the token."""


class JoinToken(NamedTuple):
    """The two halves of a join token."""

    ca_hash: str
    jwt: str


def ca_hash(ca_der: bytes) -> str:
    """The first part of a token: by it an edge knows the right CA."""
    return hashlib.sha256(ca_der).hexdigest()


def make(ca_der: bytes, key_der: bytes, expires: dt.datetime) -> str:
    """A join token that is good until `expires`."""
    payload = {"exp": int(expires.timestamp())}
    signed = f"{_encode(_compact(HEADER))}.{_encode(_compact(payload))}"
    return f"{ca_hash(ca_der)}.{signed}.{_encode(_sign(signed, key_der))}"


def split(token: str) -> JoinToken:
    """Take a join token apart, without checking it. Raises TokenError."""
    first, _, rest = token.strip().partition(".")
    if rest.count(".") != 2 or not first or not all(rest.split(".")):
        raise TokenError("a join token has four parts separated by dots; take it from `keadm gettoken`")
    return JoinToken(first.lower(), rest)


def verify(jwt: str, key_der: bytes, now: dt.datetime) -> dt.datetime:
    """Check signature and expiry; gives the time of expiry. Raises TokenError."""
    signed, _, signature = jwt.rpartition(".")
    try:
        header = json.loads(_decode(signed.partition(".")[0]))
        payload = json.loads(_decode(signed.partition(".")[2]))
        given = _decode(signature)
    except (ValueError, binascii.Error) as error:
        raise TokenError("the token is malformed") from error
    if not isinstance(header, dict) or header.get("alg") != "HS256" or not isinstance(payload, dict):
        raise TokenError("the token is malformed")
    if not hmac.compare_digest(given, _sign(signed, key_der)):
        raise TokenError("the token was not issued by this CloudCore")
    return _unexpired(payload.get("exp"), now)


def expiry(token: str) -> dt.datetime | None:
    """When a join token ends, read without checking its signature; None when it cannot be read."""
    try:
        payload = json.loads(_decode(split(token).jwt.split(".")[1]))
        return dt.datetime.fromtimestamp(int(payload["exp"]), dt.UTC)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _unexpired(expires: object, now: dt.datetime) -> dt.datetime:
    if not isinstance(expires, int | float) or isinstance(expires, bool):
        raise TokenError("the token has no time of expiry")
    end = dt.datetime.fromtimestamp(expires, dt.UTC)
    if now >= end:
        raise TokenError(f"the token expired at {end:%Y-%m-%dT%H:%M:%SZ}, now it is {now:%Y-%m-%dT%H:%M:%SZ}")
    return end


def _sign(signed: str, key_der: bytes) -> bytes:
    return hmac.new(key_der, signed.encode("ascii", "replace"), hashlib.sha256).digest()


def _compact(value: dict[str, object] | dict[str, str] | dict[str, int]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
