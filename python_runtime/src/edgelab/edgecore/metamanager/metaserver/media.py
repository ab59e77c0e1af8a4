"""Bodies: JSON and YAML in, JSON and YAML out."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any

import msgspec

from edgelab.edgecore.interfaces import Obj
from edgelab.edgecore.metamanager.metaserver.http import Request, Response
from edgelab.objects.status import ApiError

JSON, YAML = "application/json", "application/yaml"
ACCEPTED = (JSON, YAML, "application/yml")


def answer_type(request: Request) -> str:
    """The media type that the client takes. Raises ApiError (406)."""
    wanted = [part.strip() for part in request.headers.get("accept", "*/*").split(",")]
    for part in wanted:
        kind, _, rest = part.partition(";")
        if kind in ("*/*", "application/*", JSON) and "as=" not in rest:
            return JSON
        if kind in (YAML, "application/yml") and "as=" not in rest:
            return YAML
    hint = "MetaServer makes no tables" if any("as=" in part for part in wanted) else "no protobuf here"
    text = f"only the following media types are accepted: {JSON}, {YAML} ({hint})"
    raise ApiError(406, text)


def body_of(request: Request) -> Obj:
    """The object that a request carries. Raises ApiError (400, 415)."""
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip() or JSON
    if kind not in ACCEPTED:
        raise ApiError(415, f"the body is {kind}; MetaServer reads {JSON} and {YAML}")
    found = parse(request.body, yaml=kind != JSON)
    if not isinstance(found, dict):
        raise ApiError(400, "the body is no object with apiVersion and kind")
    return found


def parse(data: bytes, *, yaml: bool) -> Any:
    """JSON or YAML as plain data. Raises ApiError (400)."""
    if not yaml:
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ApiError(400, f"the body is no JSON: {error}") from None
    import yaml as library  # noqa: PLC0415 - only when somebody sends it

    try:
        return _plain(library.safe_load(data))
    except (library.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, f"the body is no YAML: {error}") from None


def _plain(value: Any) -> Any:
    """YAML's dates and bytes as the text that JSON has for them."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def write(data: bytes, kind: str, status: int = 200) -> Response:
    """An answer whose JSON is `data`, in the type that the client takes."""
    if kind == JSON:
        return Response(status, data)
    import yaml as library  # noqa: PLC0415 - only when somebody asks for it

    text = library.safe_dump(msgspec.json.decode(data), sort_keys=False, allow_unicode=True)
    return Response(status, text.encode(), YAML)


def failure(error: ApiError) -> Response:
    """The Status that tells what went wrong."""
    return Response(error.code, msgspec.json.encode(error.status()))
