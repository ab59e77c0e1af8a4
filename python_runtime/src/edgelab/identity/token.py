"""Join tokens: `<sha256 of the CA's DER, hex>.<JWT>`.

The JWT is HS256 with the CA key's SEC1 DER bytes as its secret (KubeEdge `pkg/security/token`, our
docs/reference/protocol.md). The shared token has one claim, `exp`. A node token, which is ours, has `jti`
and `sub` besides: the name of its record in the cluster and the one node that it is for. An EdgeCore
passes either on without looking into it.
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


class Claims(NamedTuple):
    """What a token that was verified says; `id` and `node` are empty in the shared one."""

    expires: dt.datetime
    id: str = ""
    node: str = ""


def make(ca_der: bytes, key_der: bytes, expires: dt.datetime, *, token_id: str = "", node: str = "") -> str:
    """A join token that is good until `expires`: the shared one, or with an id one for a single node."""
    payload: dict[str, object] = {"exp": int(expires.timestamp())}
    if token_id:
        payload |= {"jti": token_id, "sub": node}
    signed = f"{_encode(_compact(HEADER))}.{_encode(_compact(payload))}"
    return f"{ca_hash(ca_der)}.{signed}.{_encode(_sign(signed, key_der))}"


def split(token: str) -> JoinToken:
    """Take a join token apart, without checking it. Raises TokenError."""
    first, _, rest = token.strip().partition(".")
    if rest.count(".") != 2 or not first or not all(rest.split(".")):
        raise TokenError("a join token has four parts separated by dots; take it from `keadm gettoken`")
    return JoinToken(first.lower(), rest)


def verify(jwt: str, key_der: bytes, now: dt.datetime) -> Claims:
    """Check signature and expiry. Raises TokenError. Whether a node token is spent, its record tells."""
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
    return Claims(_unexpired(payload.get("exp"), now), _word(payload, "jti"), _word(payload, "sub"))


def peek(token: str) -> Claims | None:
    """What a join token says, without checking its signature; None when it cannot be read."""
    try:
        payload = json.loads(_decode(split(token).jwt.split(".")[1]))
        expires = dt.datetime.fromtimestamp(int(payload["exp"]), dt.UTC)
        return Claims(expires, _word(payload, "jti"), _word(payload, "sub"))
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def expiry(token: str) -> dt.datetime | None:
    """When a join token ends, read without checking its signature; None when it cannot be read."""
    claims = peek(token)
    return claims.expires if claims else None


def _word(payload: dict[str, object], claim: str) -> str:
    value = payload.get(claim, "")
    if not isinstance(value, str):
        raise TokenError(f"the token's claim {claim} is no text")
    return value


def _unexpired(expires: object, now: dt.datetime) -> dt.datetime:
    if not isinstance(expires, int | float) or isinstance(expires, bool):
        raise TokenError("the token has no time of expiry")
    end = dt.datetime.fromtimestamp(expires, dt.UTC)
    if now >= end:
        raise TokenError(f"the token expired at {end:%Y-%m-%dT%H:%M:%SZ}, now it is {now:%Y-%m-%dT%H:%M:%SZ}")
    return end


def _sign(signed: str, key_der: bytes) -> bytes:
    return hmac.new(key_der, signed.encode("ascii", "replace"), hashlib.sha256).digest()


def _compact(value: dict[str, object] | dict[str, str]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
