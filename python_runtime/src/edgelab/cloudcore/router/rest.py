"""REST: `METHOD http://cloud:9443/<node>/<namespace>/<path>` (KubeEdge `cloud/pkg/router/listener/http.go`).

Receives: HTTP requests. Sends: what the rule for the path says, once, and answers with what became of it.
A request that fails is never repeated here: whether it is safe to do so, its client knows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import hdrs, web

from edgelab.cloudcore.router import headers, intake, measures, paths
from edgelab.cloudcore.router.access import Access, Denied
from edgelab.cloudcore.router.counters import Counters
from edgelab.cloudcore.router.deliveries import Call
from edgelab.cloudcore.router.downward import Downward
from edgelab.cloudcore.router.errors import Undeliverable
from edgelab.cloudcore.router.measures import REFUSED, Measures
from edgelab.cloudcore.router.rules import EVENTBUS, Rule
from edgelab.cloudcore.router.table import RuleTable

log = logging.getLogger("edgelab.cloudcore.router")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
DELIVERED, KEPT = "message delivered", "message kept until the node connects"
LONGEST_TOPIC = 1024
"""Bytes; the bound of EventBus."""


class Aim(NamedTuple):
    """Where a request goes: the rule, the node, and the target with what is appended to it."""

    rule: Rule
    node: str
    target: str


class Rest:
    """Answers requests. `timeout`: seconds from a request's head to its answer."""

    def __init__(
        self,
        table: RuleTable,
        counters: Counters,
        downward: Downward,
        access: Access,
        measures: Measures,
        *,
        timeout: float,
    ) -> None:
        self._table = table
        self._counters = counters
        self._downward = downward
        self._access = access
        self._measures = measures
        self._timeout = timeout
        self.budget = intake.Budget()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to one request."""
        aim = None
        try:
            aim = self._aim(request)
            certificate = request.get_extra_info("peercert")
            self._access.check(aim.rule, request.headers.get(hdrs.AUTHORIZATION, ""), certificate)
            self._access.limit(aim.rule)
        except Undeliverable as error:
            self._measures.count(None if aim is None else aim.rule, REFUSED)
            return _refusal(error)
        began = time.monotonic()
        try:
            return await self._carry_out(request, aim)
        except Undeliverable as error:
            self._counters.failure(aim.rule, str(error))
            return _refusal(error)
        except asyncio.CancelledError:
            self._counters.failure(aim.rule, "the client left before the answer")
            raise
        finally:
            self._measures.took(aim.rule, time.monotonic() - began)

    def _aim(self, request: web.BaseRequest) -> Aim:
        """Raises Undeliverable."""
        if request.method not in METHODS:
            raise Undeliverable(405, f"the method is none of {', '.join(sorted(METHODS))}")
        try:
            segments, sent, query = paths.split(request.raw_path)
        except paths.BadPath as error:
            raise Undeliverable(400, str(error)) from None
        found = self._table.find(segments[1], segments[2:]) if len(segments) > 2 else None
        if found is None:
            raise Undeliverable(404, "Request error: no rule has this path")
        rule, own = found
        first = 2 if rule.appends_whole_path else 2 + own
        if rule.target_kind == EVENTBUS:
            return Aim(rule, segments[0], _topic(rule.target, segments[first:]))
        url = "/".join((rule.target.rstrip("/"), *sent[first:])) if sent[first:] else rule.target
        return Aim(rule, segments[0], f"{url}?{query}" if query else url)

    async def _carry_out(self, request: web.BaseRequest, aim: Aim) -> web.StreamResponse:
        deadline = asyncio.get_running_loop().time() + self._timeout
        rule = aim.rule
        self._downward.check(aim.node, spool=rule.options.spool)
        with intake.Reservation(self.budget) as reserved:
            body = await intake.read(request, reserved)
            if rule.target_kind == EVENTBUS:
                return await self._publish(aim, body, deadline)
            call = Call(request.method, aim.target, _passed_on(request, rule, len(body)), body)
            answer = await self._downward.call(aim.node, call, deadline)
        self._counters.success(rule)
        return web.Response(status=answer.status, headers=headers.to_client(answer.header), body=answer.body)

    async def _publish(self, aim: Aim, body: bytes, deadline: float) -> web.StreamResponse:
        if await self._downward.publish(aim.rule, aim.node, aim.target, body, deadline):
            self._counters.success(aim.rule)
            return web.Response(text=DELIVERED)
        self._measures.count(aim.rule, measures.KEPT)
        return web.Response(status=202, text=KEPT)


def _topic(topic: str, rest: Sequence[str]) -> str:
    """Raises Undeliverable for a path that is no topic."""
    whole = "/".join((topic.rstrip("/"), *rest)) if rest else topic
    if set(whole) & set("+#"):
        raise Undeliverable(400, "'+' and '#' cannot be in a topic")
    if len(whole.encode()) > LONGEST_TOPIC:
        raise Undeliverable(400, f"a topic has at most {LONGEST_TOPIC} bytes")
    return whole


def _passed_on(request: web.BaseRequest, rule: Rule, length: int) -> dict[str, list[str]]:
    """The headers for the service; the rule's own token is not its business."""
    used = frozenset({"authorization"}) if rule.options.authentication == "token" else frozenset[str]()
    return headers.to_service(request.headers.items(), length, without=used)


def _refusal(error: Undeliverable) -> web.StreamResponse:
    answer = web.Response(status=error.status, text=f"{error}\n")
    if error.retry_after is not None:
        answer.headers[hdrs.RETRY_AFTER] = str(error.retry_after)
    if isinstance(error, Denied) and error.challenge:
        answer.headers[hdrs.WWW_AUTHENTICATE] = error.challenge
    if error.status in (400, 408, 413):
        answer.force_close()  # the rest of the request is not read
    return answer
