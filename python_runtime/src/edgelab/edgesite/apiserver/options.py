"""Bodies of requests that are no stored objects: DeleteOptions, TokenRequest, Eviction, Binding."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.conform import Conformer, DecodeError
from edgelab.edgesite.apiserver.schema import Catalogue
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"


def typed(catalogue: Catalogue, group: str, version: str, kind: str, body: Any) -> Obj:
    """The body with the types of its fields checked and unknown fields dropped. Raises ApiError 400."""
    node = catalogue.kind(group, version, kind)
    assert node is not None
    if not isinstance(body, dict):
        text = f"json: cannot unmarshal {_name(body)} into Go value of type {version}.{kind}"
        raise ApiError(400, f'{kind} in version "{version}" cannot be handled as a {kind}: {text}')
    try:
        found: Obj = Conformer().root(body, node, kind)
    except DecodeError as error:
        plain = kind == "DeleteOptions"  # it is decoded by another codec, which says no more than this
        raise ApiError(
            400,
            str(error) if plain else f'{kind} in version "{version}" cannot be handled as a {kind}: {error}',
        ) from error
    return found


def deletion_options(catalogue: Catalogue, body: Any) -> Obj:
    """DeleteOptions, of whatever group they say they are. Raises ApiError 400."""
    kind, version = body.get("kind") or "DeleteOptions", body.get("apiVersion") or "meta.k8s.io/v1"
    if kind != "DeleteOptions":
        raise ApiError(400, f'no kind "{kind}" is registered for version "{version}" in scheme "{SCHEME}"')
    return typed(catalogue, "", "v1", "DeleteOptions", body)


def _name(value: Any) -> str:
    names = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    return names.get(type(value), "null")
