"""The HTTPS server: who asks, may they, and which handler answers."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from typing import TYPE_CHECKING

from aiohttp import web

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.apiserver import codec, yamlanswers
from edgelab.edgesite.apiserver.accept import (
    BUILTIN,
    JSON,
    PLAIN,
    STREAMS,
    Wanted,
    negotiate,
    relayed,
    route,
)
from edgelab.edgesite.apiserver.access.attributes import attributes
from edgelab.edgesite.apiserver.access.impersonation import Incomplete, impersonated
from edgelab.edgesite.apiserver.authentication import Authenticator
from edgelab.edgesite.apiserver.authorization import Attributes, Authorizer, forbidden
from edgelab.edgesite.apiserver.context import Context, User
from edgelab.edgesite.apiserver.documents import Documents
from edgelab.edgesite.apiserver.handlers import ResourceHandler, respond
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.apiserver.refusals import no_such_path
from edgelab.edgesite.apiserver.request import RELAYED, ResourcePath, parse_path
from edgelab.edgesite.operation.pages import Operation
from edgelab.edgesite.operation.requests import describe
from edgelab.objects.status import ApiError

if TYPE_CHECKING:
    from edgelab.edgesite.audit.auditor import Auditor

log = logging.getLogger("edgesite.apiserver")

MAX_BODY = 3 << 20
READING = ("GET", "HEAD", "OPTIONS")
ENDING = "The apiserver is shutting down, please try again later."
MAX_HEADER = 1 << 20  # as Go servers: selectors and tokens can be long
DEPRECATED = {
    ("", "Endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    ("", "ComponentStatus"): "v1 ComponentStatus is deprecated in v1.19+",
}
DOCUMENT_VERBS = {"HEAD": "get"}
GRACE_SECONDS = 5.0  # for requests under way when the server stops
KEEPALIVE_SECONDS = 120.0  # longer than Go clients keep an idle connection (90), so that they close it


class ApiServer:
    """Serves until cancelled. Raises Fatal when the port is taken."""

    name = "apiserver"

    def __init__(
        self,
        handler: ResourceHandler,
        documents: Documents,
        kinds: Kinds,
        *,
        authenticator: Authenticator,
        authorizer: Authorizer,
        operation: Operation,
        auditor: Auditor | None = None,
    ) -> None:
        self._auditor = auditor
        self._operation = operation
        self._handler = handler
        self._documents = documents
        self._kinds = kinds
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listen; gives the port (for port 0 the one that was chosen)."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._serve)
        if self._auditor is not None:
            app.on_response_prepare.append(self._auditor.started)
        runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=GRACE_SECONDS,
            auto_decompress=False,  # kube-apiserver takes bodies as they are
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
            keepalive_timeout=KEEPALIVE_SECONDS,
        )
        await runner.setup()
        self._runner = runner
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls, backlog=512).start()
        except OSError as error:
            await runner.cleanup()
            raise Fatal(
                f"cannot listen on {host}:{port}: {error.strerror or error}; stop what uses that port"
                " or choose another one with --listen"
            ) from error
        return int(runner.addresses[0][1])

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._operation.drain()
            self._handler.stop()
            if self._runner is not None:
                await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self._auditor is None:
            return await self._counted(request)
        response: web.StreamResponse | None = None
        self._auditor.begin(request)
        try:
            response = await self._counted(request)
            return response
        finally:
            await self._auditor.end(request, response)

    async def _counted(self, request: web.Request) -> web.StreamResponse:
        path, media = parse_path(request.path), request.content_type
        what = describe(request.method, request.path, path, request.query, media=media, kinds=self._kinds)
        requests, code, began = self._operation.requests, 0, time.perf_counter()
        requests.begin(what)
        try:
            response = await self._guarded(request, path)
            code = response.status
            return response
        finally:
            requests.end(what, code, time.perf_counter() - began)

    async def _guarded(self, request: web.Request, path: ResourcePath | None) -> web.StreamResponse:
        context = Context(User(""))
        try:
            if self._operation.refusing and request.method not in READING:
                raise ApiError(429, ENDING, details={"retryAfterSeconds": 1})
            return _warned(_in_yaml(await self._answer(request, path, context), context), context)
        except ApiError as error:
            context.yaml = context.yaml and not context.formed  # a Status is neither a Table nor partial
            return _warned(_in_yaml(_failure(error, context), context), context)
        except Incomplete as error:
            text = f'Internal Server Error: "{request.path_qs}": {error}\n'
            return web.Response(text=text, status=500, headers={"X-Content-Type-Options": "nosniff"})
        except web.HTTPRequestEntityTooLarge:
            return _failure(ApiError(413, f"Request entity too large: limit is {MAX_BODY}"))
        except RecursionError:
            return _failure(ApiError(400, "the object is nested too deeply: exceeded max depth"))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("%s %s failed unexpectedly; this is a defect", request.method, request.path)
            return _failure(ApiError(500, "an internal error occurred; see the server's log"))
        finally:
            if context.annotations and self._auditor is not None:
                self._auditor.annotate(request, context.annotations)

    async def _answer(
        self, request: web.Request, path: ResourcePath | None, context: Context
    ) -> web.StreamResponse:
        if path is None or not path.plural:
            verb = DOCUMENT_VERBS.get(request.method, request.method.lower())
            context.user = self._authorized(request, Attributes(verb, path=request.path), None)
            return await self._document(request, context)
        context.user = self._authorized(request, attributes(request.method, path, request.query), path)
        kind = self._kinds.find(path.group, path.version, path.plural)
        if kind is None or (path.namespace and not kind.resource.namespaced) or not self._fits(kind, path):
            return self._unknown(path)
        context.deprecation = deprecation(kind)
        wanted = self._wanted(request, kind, path)
        context.yaml, context.formed = wanted.yaml, bool(wanted.form)
        return await self._handler.serve(request, kind, path, context, wanted)

    @staticmethod
    def _wanted(request: web.Request, kind: Kind, path: ResourcePath) -> Wanted:
        header = request.headers.get("Accept", "")
        if path.subresource in RELAYED and path.subresource in kind.subresources:
            return relayed(header, log=path.subresource == "log")
        if not header or header == JSON:
            return PLAIN
        if kind.custom is not None:
            return negotiate(header)
        streams = STREAMS if request.method == "GET" and not path.name else ()
        route(header, (*BUILTIN, *streams))
        return negotiate(header)

    @staticmethod
    def _fits(kind: Kind, path: ResourcePath) -> bool:
        """A namespaced object has a namespace in its path."""
        return not path.name or bool(path.namespace) == kind.resource.namespaced

    def _unknown(self, path: ResourcePath) -> web.Response:
        if path.group not in self._kinds.groups() or self._kinds.is_custom(path.group):
            return web.Response(text="404 page not found\n", status=404)
        raise no_such_path()

    def _authorized(self, request: web.Request, wanted: Attributes, path: ResourcePath | None) -> User:
        """Who asks, or as whom, if that is allowed. Raises ApiError 401, 403."""
        transport = request.transport
        connection = transport.get_extra_info("ssl_object") if transport is not None else None
        user = self._authenticator.user(connection, request.headers.get("Authorization", ""))
        if self._auditor is None:
            acting = impersonated(user, request.headers, self._authorizer)
            self._authorizer.check(acting, wanted)
            return acting
        acting = user
        try:
            acting = impersonated(user, request.headers, self._authorizer)
        finally:
            self._auditor.asked(request, user, acting, wanted, path)
        decision = self._authorizer.decide(acting, wanted)
        self._auditor.decided(request, allowed=decision.allowed, reason=decision.reason)
        if not decision.allowed:
            raise forbidden(acting, wanted, decision.reason)
        return acting

    async def _document(self, request: web.Request, context: Context) -> web.StreamResponse:
        ours = await self._operation.answer(request)
        return self._documents.answer(request, context) if ours is None else ours


def _in_yaml(response: web.StreamResponse, context: Context) -> web.StreamResponse:
    """The answer in YAML, when that was asked for."""
    if not context.yaml or not isinstance(response, web.Response) or response.content_type != JSON:
        return response
    body = response.body
    response.body = yamlanswers.encode(body) if isinstance(body, bytes) else body
    response.content_type = "application/yaml"
    return response


def _failure(error: ApiError, context: Context | None = None) -> web.Response:
    response = respond(codec.encode(error.status()), error.code, context)
    seconds = (error.details or {}).get("retryAfterSeconds")
    if seconds:
        response.headers["Retry-After"] = str(seconds)
    return response


def deprecation(kind: Kind) -> str:
    """What to say to whoever uses a version that is to go away."""
    return kind.custom.deprecation if kind.custom is not None else DEPRECATED.get((kind.group, kind.name), "")


def _warned(response: web.StreamResponse, context: Context) -> web.StreamResponse:
    """Whoever uses a deprecated version is told first."""
    if context.deprecation and not response.prepared:
        text = context.deprecation.replace("\\", "\\\\").replace('"', '\\"')
        others = response.headers.popall("Warning", [])
        for warning in (f'299 - "{text}"', *others):
            response.headers.add("Warning", warning)
    return response
