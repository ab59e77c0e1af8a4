"""OpenAPI documents: what kubectl needs for explain, apply and its check of fieldValidation."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from aiohttp import web

from edgelab.edgesite.apiserver import codec, gnostic, swagger
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.apiserver.operations import gvk, paths, schema_name
from edgelab.edgesite.apiserver.refusals import no_such_path
from edgelab.edgesite.apiserver.schema import META, REFERENCE

Obj = dict[str, Any]

V2 = "com.github.proto-openapi.spec.v2"
V2_TYPES = (f"application/{V2}@v1.0+protobuf", f"application/{V2}.v1.0+protobuf")
KEPT = 4
PATCH = {
    "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
    "type": "object",
}
LIST_META = {"$ref": f"{REFERENCE}{META}ListMeta"}


class OpenApi:
    """Builds documents when they are asked for; the last few answers are kept, compressed."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._generation = -1
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._digests: dict[str, str] = {}

    def answer(self, request: web.Request, path: str) -> web.Response:
        """/openapi/v2, /openapi/v3 and the documents below it. Raises ApiError 404 or 406."""
        if self._generation != self._kinds.generation:
            self._generation = self._kinds.generation
            self._kept.clear()
            self._digests.clear()
        if path == "/openapi/v2":
            return self._serve_v2(request)
        if path == "/openapi/v3":
            return _response(request, codec.encode(self._index()))
        name = path.removeprefix("/openapi/v3/")
        if name == path or not self._in(name):
            raise no_such_path()
        if not _accepts(request, "application/json"):
            return web.Response(status=406)
        digest = self._digest(name)
        asked = request.query.get("hash")
        if asked and asked != digest:
            raise web.HTTPMovedPermanently(f"/openapi/v3/{name}?hash={digest}")
        response = self._packed(request, name, lambda: codec.encode(self._v3(name)), "application/json")
        if asked:
            response.headers["Cache-Control"] = "public, immutable"
        response.headers.update({"Etag": f'"{digest}"', "Vary": "Accept"})
        return _unless_known(request, response)

    def _serve_v2(self, request: web.Request) -> web.Response:
        accepted = next(
            (media for media in ("application/json", *V2_TYPES) if _accepts(request, media)), None
        )
        if accepted is None:
            return web.Response(status=406)
        digest = hashlib.sha512(
            "".join(self._digest(name) for name in self._index()["paths"]).encode()
        ).hexdigest()
        if accepted == "application/json":
            response = self._packed(request, "v2", lambda: codec.encode(self._v2()), accepted)
        else:
            response = self._packed(
                request,
                "v2 protobuf",
                lambda: gnostic.document(self._v2()),
                f"application/{V2}.v1.0+protobuf",
            )
        response.headers.update({"Etag": f'"{digest.upper()}"', "Vary": "Accept"})
        return _unless_known(request, response)

    def _packed(
        self, request: web.Request, name: str, build: Callable[[], bytes], media: str
    ) -> web.Response:
        packed = self._kept.pop(name, None) or gzip.compress(build(), 4)
        self._kept[name] = packed
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        headers = {"Content-Type": media}
        if "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=gzip.decompress(packed), headers=headers)
        return web.Response(body=packed, headers={**headers, "Content-Encoding": "gzip"})

    def _index(self) -> Obj:
        names = [
            f"apis/{group}/{version}" if group else f"api/{version}"
            for group, versions in self._kinds.groups().items()
            for version in versions
        ]
        listed = {name: f"/openapi/v3/{name}?hash={self._digest(name)}" for name in sorted(names)}
        return {"paths": {name: {"serverRelativeURL": url} for name, url in listed.items()}}

    def _digest(self, name: str) -> str:
        """Changes when the document does: with the version of the built-in types and with custom schemas."""
        found = self._digests.get(name)
        if found is None:
            parts = [name.encode(), self._kinds.catalogue.version.encode()]
            for kind in self._in(name):
                parts.append(codec.encode([kind.plural, kind.subresources]))
                if kind.custom is not None and kind.schema is not None:
                    parts.append(codec.encode(kind.schema.raw))
            found = self._digests[name] = hashlib.sha512(b"|".join(parts)).hexdigest().upper()
        return found

    def _in(self, name: str) -> list[Kind]:
        parts = name.split("/")
        if parts[0] == "api" and len(parts) == 2:
            return self._kinds.in_version("", parts[1])
        if parts[0] == "apis" and len(parts) == 3:
            return self._kinds.in_version(parts[1], parts[2])
        return []

    def _v3(self, name: str) -> Obj:
        document = self._document(self._in(name))
        return {
            "openapi": "3.0.0",
            "info": self._info(),
            "paths": document["paths"],
            "components": {"schemas": document["schemas"]},
        }

    def _v2(self) -> Obj:
        document = self._document(list(self._kinds))
        custom = {schema_name(kind) for kind in self._kinds if kind.custom is not None}
        definitions = {
            name: swagger.schema(raw, custom=name in custom) for name, raw in document["schemas"].items()
        }
        return {
            "swagger": "2.0",
            "info": self._info(),
            "paths": {name: swagger.path(item) for name, item in document["paths"].items()},
            "definitions": definitions,
        }

    def _info(self) -> Obj:
        return {"title": "Kubernetes", "version": f"v{self._kinds.catalogue.version}"}

    def _document(self, kinds: list[Kind]) -> Obj:
        schemas: Obj = {}
        found: Obj = {}
        for kind in kinds:
            found |= paths(kind)
            name = schema_name(kind)
            if kind.custom is not None:
                schemas[name] = _custom_schema(kind)
                schemas[name.removesuffix(kind.name) + kind.list_kind] = _list_schema(kind)
        for name in _references(found):
            self._add(name, schemas)
        for raw in list(schemas.values()):
            for name in _references(raw):
                self._add(name, schemas)
        return {"paths": found, "schemas": dict(sorted(schemas.items()))}

    def _add(self, name: str, schemas: Obj) -> None:
        """A type, and everything that it mentions."""
        if name in schemas:
            return
        definition = PATCH if name == META + "Patch" else self._kinds.catalogue.documented(name)
        schemas[name] = definition
        for reference in _references(definition):
            self._add(reference, schemas)


def _references(node: Obj) -> set[str]:
    return set(re.findall(re.escape(REFERENCE) + r"([\w.-]+)", codec.encode(node).decode()))


def _custom_schema(kind: Kind) -> Obj:
    raw: Obj = dict(kind.schema.raw) if kind.schema is not None else {"type": "object"}
    reference = {"allOf": [{"$ref": f"{REFERENCE}{META}ObjectMeta"}]}
    text = {"type": "string"}
    raw["properties"] = {
        "apiVersion": text,
        "kind": text,
        **(raw.get("properties") or {}),
        "metadata": reference,
    }
    raw["x-kubernetes-group-version-kind"] = [gvk(kind)]
    return raw


def _list_schema(kind: Kind) -> Obj:
    text = {"type": "string"}
    items = {"type": "array", "items": {"allOf": [{"$ref": REFERENCE + schema_name(kind)}]}}
    return {
        "description": f"{kind.list_kind} is a list of {kind.name}",
        "type": "object",
        "required": ["items"],
        "properties": {"apiVersion": text, "kind": text, "items": items, "metadata": {"allOf": [LIST_META]}},
        "x-kubernetes-group-version-kind": [{**gvk(kind), "kind": kind.list_kind}],
    }


def _accepts(request: web.Request, media: str) -> bool:
    header = request.headers.get("Accept", "") or "*/*"
    offered = [part.partition(";")[0].strip() for part in header.split(",")]
    return any(item in (media, "application/*", "*/*") for item in offered)


def _response(request: web.Request, body: bytes) -> web.Response:
    digest = hashlib.sha512(body).hexdigest().upper()
    response = web.Response(body=body, content_type="application/json", headers={"Etag": f'"{digest}"'})
    return _unless_known(request, response)


def _unless_known(request: web.Request, response: web.Response) -> web.Response:
    """304 for a document that the client has."""
    if request.headers.get("If-None-Match") != response.headers["Etag"]:
        return response
    kept = {name: response.headers[name] for name in ("Etag", "Vary") if name in response.headers}
    return web.Response(status=304, headers=kept)
