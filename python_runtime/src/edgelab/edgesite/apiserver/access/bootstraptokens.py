"""Bootstrap tokens: `id.secret`, kept in Secrets of kube-system (`cluster-bootstrap/util/secrets`)."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hmac
import re
from typing import Any

from edgelab.daemon.clock import parse_rfc3339

Obj = dict[str, Any]

NAMESPACE = "kube-system"
TYPE = "bootstrap.kubernetes.io/token"
SECRET_PREFIX = "bootstrap-token-"  # noqa: S105 - of names
DEFAULT_GROUP = "system:bootstrappers"
GROUP = r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]"
FORM = r"([a-z0-9]{6})\.([a-z0-9]{16})"


def parse(token: str) -> tuple[str, str] | None:
    """Identifier and secret, or None for what is no bootstrap token."""
    found = re.fullmatch(FORM, token)
    return (found[1], found[2]) if found else None


def value(secret: Obj, key: str) -> str:
    """One value of a Secret as text; empty when there is none."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key) or "").decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def remaining(secret: Obj, now: dt.datetime) -> float | None:
    """Seconds until the token expires, 0 or less if it has, None if it never does."""
    text = value(secret, "expiration")
    if not text:
        return None
    try:
        return (parse_rfc3339(text) - now).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def groups(secret: Obj, identifier: str, proof: str, now: dt.datetime) -> tuple[str, ...] | None:
    """The groups of who presents a token, or None when the Secret does not admit it."""
    if secret["metadata"].get("deletionTimestamp") or secret.get("type") != TYPE:
        return None
    right = hmac.compare_digest(value(secret, "token-secret").encode(), proof.encode())
    if not right or value(secret, "token-id") != identifier:
        return None
    left = remaining(secret, now)
    if (left is not None and left <= 0) or value(secret, "usage-bootstrap-authentication") != "true":
        return None
    extra = [name for name in value(secret, "auth-extra-groups").split(",") if name]
    if any(re.fullmatch(GROUP, name) is None for name in extra):
        return None
    return tuple(sorted({DEFAULT_GROUP, *extra}))


def signing(secret: Obj, now: dt.datetime) -> tuple[str, str] | None:
    """Identifier and secret of a token that signs `cluster-info`, or None (`bootstrapsigner`)."""
    identifier, proof = value(secret, "token-id"), value(secret, "token-secret")
    left = remaining(secret, now)
    if secret.get("type") != TYPE or secret["metadata"]["name"] != SECRET_PREFIX + identifier:
        return None
    if not proof or (left is not None and left <= 0) or value(secret, "usage-bootstrap-signing") != "true":
        return None
    return identifier, proof
