"""The HTTPS listener that the API server calls; paths are those of KubeEdge's admission program.

Who calls is not asked, as with any webhook: an answer says no more than whether an object is in order.
What cannot be decided (the API does not answer) is a 503, so that the webhook's failure policy decides.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from edgelab.cloudcore.webhooks import devices, migration, nodejobs
from edgelab.cloudcore.webhooks.reviews import Mutator, Validator, converted, mutated, validated
from edgelab.cloudcore.webhooks.rules import RuleChecks
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi, Obj
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.webhooks")

LARGEST = 64 << 20
"""Bytes of one review: a conversion brings all objects of a list at once."""

Handler = Callable[[web.Request], Awaitable[web.Response]]


class WebhookServer:
    """A module: serves on `sock` until cancelled."""

    name = "webhooks"

    def __init__(self, api: KubeApi, sock: socket.socket, tls: ssl.SSLContext) -> None:
        checks = RuleChecks(api)
        self._validators: dict[str, Validator] = {
            "/devices": devices.device,
            "/devicemodels": devices.model,
            "/rules": checks.rule,
            "/ruleendpoints": checks.endpoint,
            "/nodeupgradejobs": nodejobs.upgrade,
        }
        self._mutators: dict[str, Mutator] = {
            "/mutating/nodeupgradejobs": nodejobs.defaults,
            "/offlinemigration": migration.stay,
        }
        self._sock = sock
        self._tls = tls

    async def run(self) -> None:
        """Serve until cancelled."""
        app = web.Application(client_max_size=LARGEST)
        app.add_routes([web.post(path, _validating(check)) for path, check in self._validators.items()])
        app.add_routes([web.post(path, _mutating(change)) for path, change in self._mutators.items()])
        app.add_routes([web.post("/convert", _convert)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, self._sock, ssl_context=self._tls).start()
            await asyncio.get_running_loop().create_future()
        finally:
            await runner.cleanup()


def _validating(check: Validator) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            return _json(await validated(body, check))
        except msgspec.DecodeError as error:
            return _no_review(request, error)
        except (ApiError, Unreachable) as error:
            log.warning("%s: cannot be decided now: %s", request.path, error)
            return web.Response(status=503, text=f"cannot be decided now: {error}")

    return handle


def _mutating(change: Mutator) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            return _json(mutated(body, change))
        except msgspec.DecodeError as error:
            return _no_review(request, error)

    return handle


async def _convert(request: web.Request) -> web.Response:
    body = await request.read()
    try:
        return _json(converted(body))
    except msgspec.DecodeError as error:
        return _no_review(request, error)


def _no_review(request: web.Request, error: Exception) -> web.Response:
    return web.Response(status=400, text=f"{request.path}: the body is no review: {error}")


def _json(answer: Obj) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")
