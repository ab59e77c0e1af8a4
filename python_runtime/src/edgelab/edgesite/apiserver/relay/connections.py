"""The door of this room: which way a request goes on."""

from __future__ import annotations

import asyncio

from aiohttp import web

from edgelab.edgesite.apiserver.access.attributes import attributes
from edgelab.edgesite.apiserver.authorization import Authorizer
from edgelab.edgesite.apiserver.context import Context, Target
from edgelab.edgesite.apiserver.refusals import no_such_path, not_allowed
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.apiserver.relay import (
    forwarding,
    headers,
    logs,
    options,
    translating,
    tunneling,
    upgrades,
    websockets,
)
from edgelab.edgesite.apiserver.relay.dialing import Trust
from edgelab.edgesite.apiserver.relay.podplaces import PodPlaces
from edgelab.edgesite.apiserver.relay.proxyplaces import ProxyPlaces
from edgelab.edgesite.apiserver.request import ResourcePath
from edgelab.objects.status import ApiError

STREAM_METHODS = ("GET", "POST")
PROXY_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class Relay:
    """Passes requests on. Holds nothing but the tasks of those under way, which `stop` ends."""

    def __init__(
        self, registry: Registry, authorizer: Authorizer, trust: Trust, preferred: tuple[str, ...]
    ) -> None:
        self._authorizer = authorizer
        self._trust = trust
        self._pods = PodPlaces(registry, preferred)
        self._proxied = ProxyPlaces(registry.store, preferred)
        self._tasks: set[asyncio.Task[object]] = set()

    async def serve(
        self, request: web.Request, target: Target, path: ResourcePath, context: Context
    ) -> web.StreamResponse:
        """Answer, or raise ApiError."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upgrades.keep_alive_client(request)
        try:
            return await self._serve(request, target, path, context)
        finally:
            self._tasks.discard(task)

    def stop(self) -> None:
        """End what is under way: these requests do not end by themselves."""
        for task in self._tasks:
            task.cancel()

    async def _serve(
        self, request: web.Request, target: Target, path: ResourcePath, context: Context
    ) -> web.StreamResponse:
        if target.subresource == "log":
            return await self._log(request, target, path)
        methods = PROXY_METHODS if target.subresource == "proxy" else STREAM_METHODS
        if path.rest and target.subresource != "proxy":
            raise no_such_path()
        if request.method not in methods:
            raise not_allowed()
        if request.query.get("dryRun", ""):
            raise ApiError(400, "dryRun is not supported")
        if target.subresource == "proxy":
            place = await self._proxied.place(target)
            return await forwarding.answer(request, place, self._trust)
        return await self._stream(request, target, path, context)

    async def _log(self, request: web.Request, target: Target, path: ResourcePath) -> web.StreamResponse:
        if path.rest:
            raise no_such_path()
        if request.method != "GET":
            raise not_allowed()
        wanted = options.log_options(request.query, target.name)
        place = self._pods.log(target, wanted)
        if place is None:
            return web.Response(status=204)
        return await logs.answer(request, place._replace(unchecked=wanted.insecure), self._trust, target.name)

    async def _stream(
        self, request: web.Request, target: Target, path: ResourcePath, context: Context
    ) -> web.StreamResponse:
        parameters = options.ports(request.query) if target.subresource == "portforward" else []
        self._check_create(request, path, context)
        if target.subresource == "portforward":
            place = self._pods.ports(target, parameters)
            if websockets.wants(request, websockets.TUNNEL) and websockets.is_proper(request):
                return await tunneling.answer(request, place, self._trust)
        else:
            wanted = options.stream_options(request.query, target.subresource)
            place = self._pods.stream(target, wanted)
            if websockets.wants(request, websockets.STREAMS) and websockets.is_proper(request):
                return await translating.answer(request, place, self._trust, wanted)
        if not headers.is_upgrade(request):
            raise ApiError(400, "Upgrade request required")
        return await upgrades.answer(request, place, self._trust)

    def _check_create(self, request: web.Request, path: ResourcePath, context: Context) -> None:
        """A WebSocket begins with GET, and still it is no reading (`ensureAuthorizedForVerb` of 1.35)."""
        wanted = attributes(request.method, path, request.query)
        if wanted.verb == "create":
            return
        decision = self._authorizer.decide(context.user, wanted._replace(verb="create"))
        if not decision.allowed:
            details = {"name": path.name, "kind": path.plural}
            text = f'{path.plural} "{path.name}" is forbidden: {decision.reason}'
            raise ApiError(403, text, details=details)
