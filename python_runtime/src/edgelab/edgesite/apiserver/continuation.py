"""Where a list goes on: the `continue` tokens of etcd3's store (`storage/continue.go`)."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

import msgspec

from edgelab.edgesite.apiserver import gojson
from edgelab.objects.status import ApiError

VERSION = "meta.k8s.io/v1"
INCONSISTENT = -1
START = "invalid continue token: continue key is not valid: "
EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list"
    " without the continue parameter."
)
EXPIRED_GO_ON = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list"
    " without the continue parameter, or use the continue token in this response to retrieve the remainder of"
    " the results. Continuing with the provided token results in an inconsistent list - objects that were"
    " created, modified, or deleted between the time the first chunk was returned and now may show up in the"
    " list."
)


class Place(NamedTuple):
    """A revision (or INCONSISTENT for whatever is newest) and the last key that was shown."""

    revision: int
    after: tuple[str, str]


def encode(revision: int, after: tuple[str, str], namespace: str) -> str:
    """A token for the list of a namespace, or of all."""
    start = after[1] if namespace or not after[0] else f"{after[0]}/{after[1]}"
    raw = msgspec.json.encode({"v": VERSION, "rv": revision, "start": start + "\0"})
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(token: str, namespace: str, *, namespaced: bool) -> Place:
    """Where to go on. Raises ApiError 400."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        wrong = next((i for i, found in enumerate(token) if found not in alphabet), len(token) - 1)
        raise ApiError(400, f"{START}illegal base64 data at input byte {wrong}") from error
    found = _fields(raw)
    version, revision, start = found.get("v") or "", found.get("rv") or 0, found.get("start") or ""
    if version != VERSION:
        raise ApiError(400, f"{START}server does not recognize this encoded version {version}")
    if revision == 0:
        raise ApiError(400, f"{START}incorrect encoded start resourceVersion (version {version})")
    if not start:
        raise ApiError(400, f"{START}encoded start key empty (version {version})")
    if ".." in start.rstrip("\0").split("/"):
        raise ApiError(400, f"{START}{start}")
    key = start.removesuffix("\0")
    if namespace or not namespaced:
        return Place(revision, (namespace, key))
    outer, _, inner = key.partition("/")
    return Place(revision, (outer, inner))


def _fields(raw: bytes) -> dict[str, Any]:
    text = raw.decode("latin-1") if raw[:1] != b"{" else ""
    try:
        found = gojson.decode(raw)
    except gojson.JsonError as error:
        if text:
            first = f"'\\u{ord(text[0]):04x}'" if 0x7F <= ord(text[0]) < 0xA0 else gojson.quote(text[0])
            raise ApiError(400, f"{START}invalid character {first} looking for beginning of value") from error
        raise ApiError(400, f"{START}{error}") from error
    fits = isinstance(found, dict) and isinstance(found.get("rv", 0), int)
    if not fits or not all(isinstance(found.get(name, ""), str) for name in ("v", "start")):
        raise ApiError(400, f"{START}json: cannot unmarshal the token")
    checked: dict[str, Any] = found
    return checked
