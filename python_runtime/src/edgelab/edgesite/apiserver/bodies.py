"""Objects in request bodies: JSON, YAML, or protobuf for built-in kinds."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml
from aiohttp import web

from edgelab.edgesite.apiserver.protobuf import MEDIA_TYPE, Decoder, ProtobufError
from edgelab.edgesite.apiserver.schema import Catalogue
from edgelab.objects.status import ApiError

JSON_TYPES = ("application/json", "application/octet-stream")
YAML_TYPES = ("application/yaml", "text/yaml")


class Bodies:
    """Reads them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._protobuf = Decoder(catalogue)

    async def read(self, request: web.Request) -> Any:
        """The object in a request. Raises ApiError 400 or 415."""
        raw, media = await request.read(), request.content_type
        if media in YAML_TYPES:
            return read_yaml(raw)
        if media in JSON_TYPES:
            return read_json(raw)
        if media != MEDIA_TYPE:
            accepted = ", ".join(("application/json", "application/yaml", MEDIA_TYPE))
            raise ApiError(
                415,
                "the body of the request was in an unknown format - accepted media types include:"
                f" {accepted}",
            )
        try:
            return self._protobuf.decode(raw)
        except ProtobufError as error:
            raise ApiError(400, str(error)) from error


def read_json(raw: bytes) -> Any:
    """Decode JSON. Raises ApiError 400."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise ApiError(400, f"couldn't get version/kind; json parse error: {error}") from error


def read_yaml(raw: bytes) -> Any:
    """Decode YAML (or JSON, which is YAML). Raises ApiError 400."""
    if raw.lstrip()[:1] == b"{":
        return read_json(raw)
    try:
        return yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        raise ApiError(400, f"error decoding YAML: {error}") from error
