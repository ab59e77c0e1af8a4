"""Bodies of requests that are no stored objects: DeleteOptions, TokenRequest, Eviction, Binding."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.conform import Conformer, DecodeError
from edgelab.edgesite.apiserver.schema import Catalogue
from edgelab.objects.status import ApiError

Obj = dict[str, Any]


def typed(catalogue: Catalogue, group: str, version: str, kind: str, body: Any) -> Obj:
    """The body with the types of its fields checked and unknown fields dropped. Raises ApiError 400."""
    node = catalogue.kind(group, version, kind)
    assert node is not None
    if not isinstance(body, dict):
        text = f"json: cannot unmarshal {_name(body)} into Go value of type {version}.{kind}"
        raise ApiError(400, f'{kind} in version "{version}" cannot be handled as a {kind}: {text}')
    try:
        found: Obj = Conformer().object(body, node, "", kind)
    except DecodeError as error:
        raise ApiError(
            400, f'{kind} in version "{version}" cannot be handled as a {kind}: {error}'
        ) from error
    return found


def _name(value: Any) -> str:
    names = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    return names.get(type(value), "null")
