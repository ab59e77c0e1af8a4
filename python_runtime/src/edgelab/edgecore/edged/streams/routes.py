"""A kubelet's paths, and who serves them: `interfaces` of EdgeStream (`edgelab.edgecore.kubelet`).

Receives: requests of EdgeStream. Sends: calls to the container runtime. Stores: nothing. Without the runtime
requests are refused with its words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.edged import names
from edgelab.edgecore.edged.streams.containerlogs import ContainerLogs
from edgelab.edgecore.edged.streams.pages import Pages
from edgelab.edgecore.edged.streams.upgrades import Upgrades
from edgelab.edgecore.kubelet import Answer, Pipe, Refused, Request

Obj = dict[str, Any]
Page: TypeAlias = Callable[[Request], Awaitable[Answer]]
START_SECONDS = 10.0
STATUSES = {"NOT_FOUND": 404, "RESOURCE_EXHAUSTED": 429, "UNIMPLEMENTED": 501}
"""As the kubelet maps a runtime's codes (`streaming.WriteError`); all others are 500."""


class Streams:
    """`find(namespace, name)` gives the pod of this node; `pages` tells what is used."""

    def __init__(
        self,
        runtime: Runtime,
        find: Callable[[str, str], Obj | None],
        clock: Clock,
        begun: asyncio.Event | None = None,
        pages: Pages | None = None,
        *,
        tasks: Supervisor | None = None,
    ) -> None:
        """`begun`: set once the pods of this node are known; who asks before waits a moment.

        `tasks` owns sessions that are served in this process.
        """
        self._begun = begun
        self._find = find
        self._logs = ContainerLogs(runtime, clock)
        self._upgrades = Upgrades(runtime, tasks or Supervisor("streams"))
        self._pages: dict[str, Page] = {}
        if pages is not None:
            self._pages = {"/metrics/resource": pages.resource, "/stats/summary": pages.summary}

    async def get(self, request: Request) -> Answer:
        """Logs and pages. Raises Refused."""
        await self._ready()
        try:
            if page := self._pages.get(request.path.rstrip("/")):
                return await page(request)
            match request.path.strip("/").split("/"):
                case ["containerLogs", namespace, pod, container]:
                    return await self._logs.get(request, self._pod(namespace, pod), container)
        except (RuntimeUnreachable, CriError) as error:
            raise _refusal(error) from None
        raise Refused(404, "404 page not found")

    async def connect(self, request: Request) -> Pipe:
        """exec, attach, portForward. Raises Refused."""
        await self._ready()
        try:
            match request.path.strip("/").split("/"):
                case ["exec", namespace, pod, *uid, container] if len(uid) < 2:
                    return await self._upgrades.exec(request, self._pod(namespace, pod, *uid), container)
                case ["attach", namespace, pod, *uid, container] if len(uid) < 2:
                    return await self._upgrades.attach(request, self._pod(namespace, pod, *uid), container)
                case ["portForward", namespace, pod, *uid] if len(uid) < 2:
                    return await self._upgrades.ports(request, self._pod(namespace, pod, *uid))
        except (RuntimeUnreachable, CriError) as error:
            raise _refusal(error) from None
        raise Refused(404, "404 page not found")

    async def _ready(self) -> None:
        if self._begun is not None and not self._begun.is_set():
            try:
                async with asyncio.timeout(START_SECONDS):
                    await self._begun.wait()
            except TimeoutError:
                raise Refused(500, "EdgeCore has just started and does not know its pods yet") from None

    def _pod(self, namespace: str, name: str, uid: str = "") -> Obj:
        pod = self._find(namespace, name)
        if pod is None or (uid and uid != names.uid(pod)):
            raise Refused(404, "pod does not exist")
        return pod


def _refusal(error: RuntimeUnreachable | CriError) -> Refused:
    if isinstance(error, CriError):
        return Refused(STATUSES.get(error.code, 500), str(error))
    return Refused(500, str(error))  # as a kubelet; kube-apiserver hides the text of a 503
