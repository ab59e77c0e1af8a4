"""Requests to the Kubernetes API over HTTP(S): no watches, and so no aiohttp, which edge nodes do not have.

Raises `ApiError` for every answer that is a failure and `daemon.errors.Unreachable` when there is
no answer: refused, reset, timed out, or a certificate that does not fit (the message says which).
Requests go over kept connections, `REQUESTS_AT_ONCE` of them at most: further requests wait for one, first
come first served.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import msgspec

from edgelab.daemon.errors import Unreachable
from edgelab.kube import impersonation
from edgelab.kube.answers import failure, object_list, selectors
from edgelab.kube.bearer import Bearer
from edgelab.kube.connection import Malformed
from edgelab.kube.interface import Obj, ObjectList, PatchType, Resource
from edgelab.kube.kubeconfig import Kubeconfig
from edgelab.kube.pool import Headers, Pool, Request
from edgelab.objects.status import ApiError

REQUEST_SECONDS = 60.0
CONNECT_SECONDS = 10.0
REQUESTS_AT_ONCE = 32
"""Connections for requests. A thousand requests at once are served no sooner over a thousand connections, but
each of those costs both sides a TLS handshake, and memory for as long as it is kept."""
_objects = msgspec.json.Decoder(dict[str, Any])
"""Made once: for a type that is only named, msgspec looks at it for each answer."""
LINGER_SECONDS = 0.1
"""What a cancelled request leaves says goodbye over TLS unseen by aiohttp; `close` gives it this long."""


class RequestClient:
    """Client of one API server; use as an async context manager or call `close`."""

    def __init__(
        self,
        config: Kubeconfig,
        *,
        user_agent: str = "edgelab",
        field_manager: str = "edgelab",
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self.config = config
        self._agent = user_agent
        self._field_manager = field_manager
        self._request_seconds = request_seconds
        self._ssl = config.ssl_context()
        self._requests: Pool | None = None
        self._cut_short = False
        self._bearer = Bearer(config)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._requests is not None:
            await self._requests.close()
        self._requests = None
        if self._cut_short:
            await asyncio.sleep(LINGER_SECONDS)

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        """One request: failures become Unreachable; that it was cut short is remembered for `close`."""
        server = self.config.server
        try:
            yield
        except asyncio.CancelledError:
            self._cut_short = True
            raise
        except TimeoutError as error:
            raise Unreachable(f"{server}: no answer in time") from error
        except ssl.SSLCertVerificationError as error:
            text = f"{server}: the server's certificate is not accepted: {error.verify_message}"
            raise Unreachable(text) from error
        except (OSError, Malformed) as error:
            raise Unreachable(f"{server}: {error or type(error).__name__}") from error

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Obj:
        """Read one object."""
        return await self.request("GET", path_of(resource, namespace, name))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """Read a collection; one request, the most recent state."""
        body = await self.request(
            "GET", path_of(resource, namespace), params=selectors(label_selector, field_selector)
        )
        return object_list(resource, body)

    async def create(
        self, resource: Resource, obj: Obj, namespace: str | None = None, *, subresource: str | None = None
    ) -> Obj:
        """Create; with a subresource (`token`, `binding`, `eviction`) the name is the object's own."""
        namespace, name = _identity(obj, namespace)
        path = path_of(resource, namespace, name if subresource else None, subresource)
        return await self.request("POST", path, body=obj if subresource else _typed(resource, obj))

    async def update(
        self, resource: Resource, obj: Obj, namespace: str | None = None, *, subresource: str | None = None
    ) -> Obj:
        """Replace; a resourceVersion in the object makes it conditional (409 Conflict)."""
        namespace, name = _identity(obj, namespace)
        body = _typed(resource, obj) if subresource in (None, "status") else obj
        return await self.request("PUT", path_of(resource, namespace, name, subresource), body=body)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str | None = None,
    ) -> Obj:
        """Change a part; server-side apply is sent with this client's field manager and force."""
        params = {}
        if patch_type is PatchType.APPLY:
            params = {"fieldManager": self._field_manager, "force": "true"}
        path = path_of(resource, namespace, name, subresource)
        return await self.request("PATCH", path, params=params, body=patch, content_type=patch_type.value)

    async def delete(
        self, resource: Resource, name: str, namespace: str | None = None, *, options: Obj | None = None
    ) -> Obj:
        """Delete; `options` is a DeleteOptions object."""
        return await self.request("DELETE", path_of(resource, namespace, name), body=options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        """Any request that is answered with a JSON object; for text (pod logs, /healthz) there is `raw`."""
        data = await self.raw(method, path, params=params, body=body, content_type=content_type)
        try:
            return _objects.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ApiError(500, f"{self.config.server} answered {method} {path} with no JSON") from None

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> bytes:
        """The bytes of an answer. `body` is data, or bytes that are sent as they are."""
        headers = self._headers()
        data = body
        if body is not None:
            headers.append(("Content-Type", content_type))
            data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        with self._attempt():
            async with asyncio.timeout(self._request_seconds):
                answer = await self._pool().send(Request(method, path, params or {}, headers, data))
        if answer.status >= 400:
            raise failure(answer.status, answer.body)
        return answer.body

    def _headers(self) -> Headers:
        return [
            ("Accept", "application/json"),
            ("User-Agent", self._agent),
            *impersonation.headers(),
            *self._bearer.headers(),
        ]

    def _pool(self) -> Pool:
        if self._requests is None:
            self._requests = Pool(
                self.config.server,
                self._ssl,
                limit=REQUESTS_AT_ONCE,
                connect_seconds=CONNECT_SECONDS,
                server_name=self.config.tls_server_name,
            )
        return self._requests


def path_of(
    resource: Resource, namespace: str | None, name: str | None = None, subresource: str | None = None
) -> str:
    """Where a collection or an object is; names are quoted."""
    return resource.path(namespace, quote(name, safe="") if name else None, subresource)


def _typed(resource: Resource, obj: Obj) -> Obj:
    """With its type, which the API server wants of custom resources."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **obj}


def _identity(obj: Obj, namespace: str | None) -> tuple[str | None, str]:
    metadata = obj.get("metadata") or {}
    return namespace or metadata.get("namespace"), metadata.get("name", "")
