"""Everything that is no resource: discovery, version, OpenAPI, the token issuer's keys."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from typing import Any

from aiohttp import web

from edgelab.edgesite.apiserver import codec, discovery, issuer
from edgelab.edgesite.apiserver.accept import JSON, PLAIN, Wanted, negotiate, route
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.kinds import Kinds
from edgelab.edgesite.apiserver.openapi import OpenApi
from edgelab.edgesite.apiserver.refusals import no_such_path, not_allowed
from edgelab.edgesite.apiserver.tokens import Tokens

Obj = dict[str, Any]

AGGREGATED_TYPE = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
HEALTH = ("/healthz", "/livez", "/readyz")
CHECKS = frozenset((*HEALTH, *(f"{path}/{part}" for path in HEALTH for part in ("ping", "store"))))


class Documents:
    """Answers GET requests; unknown paths are 404."""

    def __init__(self, kinds: Kinds, openapi: OpenApi, tokens: Tokens, address: str, version: str) -> None:
        self._kinds = kinds
        self._openapi = openapi
        self._tokens = tokens
        self._address = address
        self._version = version

    def answer(self, request: web.Request, context: Context) -> web.Response:
        """The document at a path. Raises ApiError 404, 405 or 406."""
        if request.method not in ("GET", "HEAD"):
            raise not_allowed()
        path = request.path.rstrip("/") or "/"
        if path.startswith(("/openapi/v2", "/openapi/v3")):
            return self._openapi.answer(request, path)
        if path in issuer.PATHS:
            return issuer.answer(path, self._tokens, self._address)
        wanted = self._wanted(path, request.headers.get("Accept", ""))
        context.yaml = wanted.yaml
        if path in ("/api", "/apis") and wanted.form == "APIGroupDiscoveryList":
            return self._aggregated(request, core=path == "/api", version=wanted.version)
        answers: dict[str, Callable[[], Obj]] = {
            "/": self._index,
            "/api": lambda: discovery.core_versions(self._address),
            "/apis": lambda: discovery.group_list(self._kinds),
            "/version": self._about,
        }
        if path in answers:
            return web.Response(body=codec.encode(answers[path]()), content_type="application/json")
        return self._discovered(path)

    @staticmethod
    def _wanted(path: str, header: str) -> Wanted:
        """How discovery is wanted; the other documents are JSON. Raises ApiError 406."""
        if path == "/version":
            route(header, (JSON,))
        if not header or header == JSON or not path.startswith(("/api", "/apis")):
            return PLAIN
        if path.count("/") > 2 or path.startswith("/api/"):
            route(header)
        return negotiate(header, forms=("APIGroupDiscoveryList",) if path in ("/api", "/apis") else ())

    def _aggregated(self, request: web.Request, *, core: bool, version: str) -> web.Response:
        body = codec.encode(discovery.aggregated(self._kinds, core=core, version=version))
        digest = f'"{hashlib.sha512(body).hexdigest().upper()}"'
        headers = {"Content-Type": AGGREGATED_TYPE.format(version), "Etag": digest, "Vary": "Accept"}
        if request.headers.get("If-None-Match") == digest:
            return web.Response(status=304, headers={"Etag": digest, "Vary": "Accept"})
        return web.Response(body=body, headers=headers)

    def _discovered(self, path: str) -> web.Response:
        parts = path.strip("/").split("/")
        groups = self._kinds.groups()
        found: Obj | None = None
        if parts[0] == "api" and len(parts) == 2 and parts[1] in groups[""]:
            found = discovery.resource_list(self._kinds, "", parts[1])
        elif parts[0] == "apis" and len(parts) == 2 and parts[1] in groups:
            found = discovery.group(parts[1], groups[parts[1]])
        elif parts[0] == "apis" and len(parts) == 3 and parts[2] in groups.get(parts[1], ()):
            found = discovery.resource_list(self._kinds, parts[1], parts[2])
        if found is None and (parts[0] == "api" or (parts[0] == "apis" and parts[1] in groups)):
            raise no_such_path()
        if found is None:
            return web.Response(text="404 page not found\n", status=404)
        return web.Response(body=codec.encode(found), content_type="application/json")

    def _index(self) -> Obj:
        groups = [
            f"/apis/{name}" + (f"/{version}" if version else "")
            for name, versions in self._kinds.groups().items()
            if name
            for version in ("", *versions)
        ]
        paths = [
            "/api",
            "/api/v1",
            "/apis",
            *groups,
            *HEALTH,
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            "/version",
        ]
        return {"paths": sorted(paths)}

    def _about(self) -> Obj:
        major, minor, _ = self._version.split(".")
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        return {
            "major": major,
            "minor": minor,
            "gitVersion": f"v{self._version}+edgesite",
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": platform.python_implementation(),
            "platform": f"linux/{machine}",
        }
