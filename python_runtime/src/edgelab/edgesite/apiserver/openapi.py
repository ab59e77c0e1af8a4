"""OpenAPI documents: what kubectl needs for explain, apply and its check of fieldValidation."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from aiohttp import web

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.apiserver.schema import META, REFERENCE
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
OPTIONS = ("dryRun", "fieldManager", "fieldValidation")


class OpenApi:
    """Builds documents when they are asked for and keeps none of them."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds

    def answer(self, path: str, accept: str) -> web.Response:
        """/openapi/v2, /openapi/v3 and the documents below it. Raises ApiError 404 or 406."""
        if "json" not in accept and "*/*" not in accept and accept:
            raise ApiError(406, "only the following media types are accepted: application/json")
        if path == "/openapi/v3":
            return _json(self._index())
        if path == "/openapi/v2":
            return _json(self._v2())
        if path.startswith("/openapi/v3/"):
            found = self._v3(path.removeprefix("/openapi/v3/"))
            if found is not None:
                return _json(found)
        raise ApiError(404, "the server could not find the requested resource")

    def _index(self) -> Obj:
        paths = {}
        for group, versions in self._kinds.groups().items():
            for version in versions:
                name = f"apis/{group}/{version}" if group else f"api/{version}"
                digest = hashlib.sha256(f"{name} {self._kinds.generation}".encode()).hexdigest()[:32]
                paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest.upper()}"}
        return {"paths": paths}

    def _v3(self, name: str) -> Obj | None:
        parts = name.split("/")
        group, version = ("", parts[1]) if parts[0] == "api" and len(parts) == 2 else (parts[1], parts[-1])
        kinds = self._kinds.in_version(group, version)
        if not kinds:
            return None
        schemas: Obj = {}
        paths: Obj = {}
        for kind in kinds:
            paths |= _paths(kind, "#/components/schemas/")
            self._collect(kind, schemas)
        info = {"title": "Kubernetes", "version": f"v{self._kinds.catalogue.version}"}
        return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}

    def _v2(self) -> Obj:
        schemas: Obj = {}
        paths: Obj = {}
        for kind in self._kinds:
            paths |= _paths(kind, "#/definitions/")
            self._collect(kind, schemas)
        info = {"title": "Kubernetes", "version": f"v{self._kinds.catalogue.version}"}
        document = {"swagger": "2.0", "info": info, "paths": paths, "definitions": schemas}
        text = codec.encode(document).replace(REFERENCE.encode(), b"#/definitions/")
        return codec.decode(text)

    def _collect(self, kind: Kind, schemas: Obj) -> None:
        """The schema of a kind, and of everything that it mentions."""
        if kind.custom is not None:
            schemas[schema_name(kind)] = _custom_schema(kind)
            self._add(META + "ObjectMeta", schemas)
        elif kind.schema is not None:
            self._add(kind.schema.name, schemas)
        self._add(META + "DeleteOptions", schemas)

    def _add(self, name: str, schemas: Obj) -> None:
        if name in schemas:
            return
        schemas[name] = definition = self._kinds.catalogue.definition(name)
        for reference in set(
            re.findall(re.escape(REFERENCE) + r"([\w.-]+)", codec.encode(definition).decode())
        ):
            self._add(reference, schemas)


def schema_name(kind: Kind) -> str:
    """The name of a kind's schema in the document."""
    if kind.custom is None and kind.schema is not None:
        return kind.schema.name
    return f"{'.'.join(reversed(kind.group.split('.')))}.{kind.resource.version}.{kind.name}"


def _gvk(kind: Kind) -> Obj:
    return {"group": kind.group, "version": kind.resource.version, "kind": kind.name}


def _custom_schema(kind: Kind) -> Obj:
    raw: Obj = dict(kind.schema.raw) if kind.schema is not None else {"type": "object"}
    reference = {"allOf": [{"$ref": f"{REFERENCE}{META}ObjectMeta"}]}
    text = {"type": "string"}
    raw["properties"] = {
        "apiVersion": text,
        "kind": text,
        "metadata": reference,
        **(raw.get("properties") or {}),
    }
    raw["properties"]["metadata"] = reference
    raw["x-kubernetes-group-version-kind"] = [_gvk(kind)]
    return raw


def _paths(kind: Kind, references: str) -> Obj:
    """The operations of a kind, with the parameters that clients look for."""
    base = f"/apis/{kind.group}" if kind.group else "/api"
    base += f"/{kind.resource.version}"
    if kind.resource.namespaced:
        base += "/namespaces/{namespace}"
    collection, single = f"{base}/{kind.plural}", f"{base}/{kind.plural}/{{name}}"
    if kind.verbs == ("create",):
        return {collection: {"post": _operation(kind, "post", references)}}
    return {
        collection: {
            verb: _operation(kind, name, references) for verb, name in (("get", "list"), ("post", "post"))
        },
        single: {verb: _operation(kind, verb, references) for verb in ("get", "put", "patch", "delete")},
    }


def _operation(kind: Kind, verb: str, references: str) -> Obj:
    operation: Obj = {
        "operationId": f"{verb}{_title(kind.group)}{kind.resource.version.title()}{kind.name}",
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": _gvk(kind),
        "responses": {"200": {"description": "OK"}},
    }
    if verb in ("post", "put", "patch"):
        operation["parameters"] = [{"name": name, "in": "query", **_string(references)} for name in OPTIONS]
    if verb == "patch":
        accepted = PATCH_TYPES if kind.custom is None else PATCH_TYPES[:3]
        schema = {"$ref": references + schema_name(kind)}
        if references.startswith("#/definitions"):
            operation["consumes"] = list(accepted)
        else:
            operation["requestBody"] = {"content": {media: {"schema": schema} for media in accepted}}
    return operation


def _title(group: str) -> str:
    return group.title().replace(".", "").replace("-", "")


def _string(references: str) -> Obj:
    if references.startswith("#/definitions"):
        return {"type": "string", "uniqueItems": True}
    return {"schema": {"type": "string", "uniqueItems": True}}


def _json(body: Obj) -> web.Response:
    return web.Response(body=codec.encode(body), content_type="application/json")
