"""Service account tokens: the key of a stored one, and how long it serves."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgecore.interfaces import Obj

LONGEST = dt.timedelta(hours=24)


def key(namespace: str, name: str, request: Obj) -> str:
    """The row's key as the kubelet's token manager prints it (`%q/%q/%#v/%#v/%#v`)."""
    spec = request.get("spec") or {}
    audiences = ", ".join(_quoted(a) for a in spec.get("audiences") or [])
    ref = spec.get("boundObjectRef") or {}
    bound = ", ".join(
        f"{field}:{_quoted(ref.get(source) or '')}"
        for field, source in (
            ("Kind", "kind"),
            ("APIVersion", "apiVersion"),
            ("Name", "name"),
            ("UID", "uid"),
        )
    )
    parts = (_quoted(name), _quoted(namespace), f"[]string{{{audiences}}}")
    return "/".join((*parts, str(spec.get("expirationSeconds") or 0), f"v1.BoundObjectReference{{{bound}}}"))


def expires(token: Obj) -> dt.datetime | None:
    """When the token ends; None when its status says nothing readable."""
    try:
        return parse_rfc3339(str((token.get("status") or {})["expirationTimestamp"]))
    except (KeyError, ValueError):
        return None


def is_fresh(token: Obj, now: dt.datetime) -> bool:
    """Whether more than a fifth of its life is left and it is younger than a day (kubelet's rule)."""
    end = expires(token)
    if end is None:
        return False
    lifetime = dt.timedelta(seconds=int((token.get("spec") or {}).get("expirationSeconds") or 0))
    return now < end - lifetime / 5 and now < end - lifetime + LONGEST


def _quoted(text: Any) -> str:
    return json.dumps(str(text), ensure_ascii=False)
