"""Objects in request bodies: JSON, YAML, or protobuf for built-in kinds."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from edgelab.edgesite.apiserver import codec, gojson, goyaml
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.protobuf import MEDIA_TYPE, Decoder, ProtobufError
from edgelab.edgesite.apiserver.schema import Catalogue
from edgelab.kube.interface import PatchType
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

JSON_TYPES = ("application/json", "application/octet-stream")
YAML_TYPES = ("application/yaml", "text/yaml")
MEDIA_TYPES = ("application/json", "application/yaml", MEDIA_TYPE)
PARAMETERS = re.compile(r'\s*|(\s*[^\s;=,"]+=([^\s;,"]+|"(?:[^"\\]|\\.)*")\s*;?)+')
PARSE_ERROR = "couldn't get version/kind; json parse error: "


class Bodies:
    """Reads them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._protobuf = Decoder(catalogue)

    async def object(self, request: web.Request, kind: Kind, context: Context) -> Obj:
        """The object in a request; repeated keys go into the context. Raises ApiError 400 or 415."""
        raw = await request.read()
        try:
            value, context.repeated = self._value(raw, request, kind)
            found, name = gojson.find_kind(value)
            if found.count("/") > 1:
                raise gojson.JsonError(f"unexpected GroupVersion string: {found}")
        except gojson.JsonError as error:
            start = "" if str(error).startswith("unexpected GroupVersion") else PARSE_ERROR
            raise _unrecognized(kind.name, f"{start}{error}", raw) from error
        except (goyaml.YamlError, ProtobufError) as error:
            raise _unrecognized(kind.name, str(error), raw) from error
        if kind.custom is not None and not name:
            text = f"Object 'Kind' is missing in '{raw.decode(errors='replace').rstrip()}'"
            raise _unrecognized(kind.name, text, raw)
        if kind.custom is not None and not found:
            raise ApiError(400, codec.other_version(kind, ""))
        return value or {}

    def _value(self, raw: bytes, request: web.Request, kind: Kind) -> tuple[Any, list[str]]:
        media = _media(request)
        custom = kind.custom is not None
        if media in YAML_TYPES:
            return decode_yaml(raw, merge=not custom)
        if media in JSON_TYPES:
            return decode_json(raw, merge=not custom)
        if media != MEDIA_TYPE or custom:
            raise _unknown_format()
        return self._protobuf.decode(raw), []

    async def patch(self, request: web.Request, patch_type: PatchType, context: Context) -> Any:
        """The patch in a request. Raises ApiError 400."""
        raw, start = (
            await request.read(),
            "" if patch_type is PatchType.STRATEGIC else "error decoding patch: ",
        )
        try:
            if patch_type is PatchType.APPLY:
                value, context.repeated = decode_yaml(raw)
                return value
            value, repeated = decode_json(raw)
        except gojson.JsonError as error:
            start = "error decoding YAML: " if patch_type is PatchType.APPLY else start
            raise ApiError(400, f"{start}{error}") from error
        except goyaml.YamlError as error:
            raise ApiError(400, f"error decoding YAML: error converting YAML to JSON: {error}") from error
        prefix = "json patch " if patch_type is PatchType.JSON else ""
        context.repeated = [prefix + text for text in repeated]
        return value

    async def options(self, request: web.Request) -> Any:
        """The DeleteOptions in a request, or None. Raises ApiError 400 or 415."""
        raw = await request.read()
        if not raw:
            return None
        media = _media(request)
        try:
            if media == MEDIA_TYPE:
                return self._protobuf.decode(raw)
            if media not in (*YAML_TYPES, *JSON_TYPES):
                raise _unknown_format()
            value, _ = decode_yaml(raw) if media in YAML_TYPES else decode_json(raw)
            gojson.find_kind(value)
        except gojson.JsonError as error:
            raise ApiError(400, f"{PARSE_ERROR}{error}") from error
        except (goyaml.YamlError, ProtobufError) as error:
            raise ApiError(400, str(error)) from error
        return value


def _media(request: web.Request) -> str:
    """The media type; what is no media type is unknown, and without one it is JSON."""
    header = request.headers.get("Content-Type", "")
    if "," in header or (";" in header and not PARAMETERS.fullmatch(header.partition(";")[2])):
        return header
    return request.content_type if "/" in header or not header else header


def _unknown_format() -> ApiError:
    text = "the body of the request was in an unknown format - accepted media types include:"
    return ApiError(415, f"{text} {', '.join(MEDIA_TYPES)}")


def _unrecognized(kind: str, why: str, raw: bytes) -> ApiError:
    text = f"the object provided is unrecognized (must be of type {kind}): {why} ({gojson.summary(raw)})"
    return ApiError(400, text)


def decode_json(raw: bytes, *, merge: bool = True) -> tuple[Any, list[str]]:
    """JSON, and which keys were repeated. Raises JsonError."""
    seen: list[bool] = []
    value = gojson.decode(raw, seen, merge=merge)
    return value, [f'duplicate field "{path}"' for path in gojson.duplicates(value)] if seen else []


def decode_yaml(raw: bytes, *, merge: bool = True) -> tuple[Any, list[str]]:
    """YAML (or JSON, which is YAML), and which keys were repeated. Raises JsonError or YamlError."""
    if raw.lstrip()[:1] == b"{":
        return decode_json(raw, merge=merge)
    value, repeated = goyaml.decode(raw)
    return value, repeated
