"""The paths of the API server that are for its operator, and how it stops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from aiohttp import web

from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Module
from edgelab.edgesite.operation.health import Check, Health, Unhealthy
from edgelab.edgesite.operation.metrics import Metrics, Writer
from edgelab.edgesite.operation.prometheus import CONTENT_TYPE
from edgelab.edgesite.operation.requests import Requests
from edgelab.edgesite.store import Store, StoreFailed

STORE = ("etcd", "etcd-readiness")
APISERVER = (
    "poststarthook/bootstrap-controller",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/start-system-namespaces-controller",
)
CONTROLLERS = ("informer-sync", "poststarthook/generic-apiserver-start-informers")
"""What kube-apiserver calls the checks that look at the same."""


class Page(Protocol):
    """A further path."""

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Its answer; None for another path."""
        ...


class Operation:
    """Health, metrics and further pages; the caller has checked who may.

    Lives from before the first request until after the last. `started` is set by whoever knows that
    everything has begun, `stopping` is set by `drain`, then `refusing`: no more writes are taken on. `last`
    is done when those under way are.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        delay: float = 0.0,
        last: Callable[[], Awaitable[None]] | None = None,
        pages: Iterable[Page] = (),
        metrics: Iterable[Writer] = (),
    ) -> None:
        self._store = store
        self._clock = clock
        self._delay = delay
        self._last = last
        self._pages = list(pages)
        self.requests = Requests()
        self.started = self.stopping = self.refusing = False
        self.modules: Callable[[], list[Module]] = list
        self._metrics = Metrics(self.requests, store, list(metrics))
        self._health = Health(
            live=[Check("store", self._answers, STORE)],
            ready=[
                Check("store", self._takes_writes, STORE),
                Check("apiserver", self._begun, APISERVER),
                Check("controllers", self._synced, CONTROLLERS),
                Check("shutdown", self._lasting),
            ],
        )

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """The answer for a path that is the operator's; None for any other."""
        path = request.path
        if path == "/metrics":
            text = await self._metrics.text()
            return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})
        for page in self._pages:
            if (found := await page.answer(request)) is not None:
                return found
        return await self._health.answer(path, request.query, request.query.getall("exclude", []))

    async def drain(self) -> None:
        """Say that it is no longer ready, let others notice, and end the watches."""
        self.stopping = True
        if self._delay:
            await self._clock.sleep(self._delay)
        self.refusing = True
        if self._last is not None:
            await self._last()
        self._store.end_watches()

    async def _answers(self) -> None:
        """The thread of the store is alive, whatever the disk says."""
        await self._store.answers()

    async def _takes_writes(self) -> None:
        try:
            await self._store.probe()
        except StoreFailed as error:
            raise Unhealthy(str(error)) from error

    async def _begun(self) -> None:
        if not self.started:
            raise Unhealthy("not started: the objects that every cluster begins with are not there yet")

    async def _synced(self) -> None:
        waiting = [module.name for module in self.modules() if not getattr(module, "synced", True)]
        if waiting:
            raise Unhealthy(f"{len(waiting)} informers not started yet: {waiting}")

    async def _lasting(self) -> None:
        if self.stopping:
            raise Unhealthy("process is shutting down")
