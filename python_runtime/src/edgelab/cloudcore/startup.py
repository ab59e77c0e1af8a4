"""The order of a start: the API answers, kinds are there, informers have listed, then nodes may come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from edgelab.cloudcore.cluster import Cluster
from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Unreachable
from edgelab.daemon.notify import notify, ready
from edgelab.daemon.tasks import Module, guard
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.kube.resources import VALIDATING_WEBHOOKS
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore")

T = TypeVar("T")
PROBE = "edgelab-probe"


class Starter:
    """A module: once the informers have listed, runs what was asked for with `then`, and lets nodes in."""

    name = "starter"

    def __init__(self, cluster: Cluster, clock: Clock = SYSTEM) -> None:
        self._cluster = cluster
        self._clock = clock
        self._steps: list[Callable[[], None]] = []
        self._listeners: list[Module] = []
        self._informers: list[Informer] = []
        self.device_gone: Callable[[str, str, str], None] = lambda node, namespace, name: None
        self.access_belongs: Callable[[str, str, str], bool] = lambda node, namespace, name: True
        self.certificate_requested: Callable[[Obj], None] = lambda created: None

    def then(self, step: Callable[[], None]) -> None:
        """Call `step` once everything has been listed, in the order of these calls."""
        self._steps.append(step)

    def await_synced(self, informer: Informer) -> None:
        """Run the steps only when this informer, too, has listed."""
        self._informers.append(informer)

    def serve(self, listeners: Iterable[Module]) -> None:
        """Run these after all steps."""
        self._listeners += listeners

    async def run(self) -> None:
        """Start, then serve until cancelled."""
        notify(STATUS="listing the API server's objects")
        await self._cluster.wait_synced()
        for informer in self._informers:
            await informer.wait_synced()
        for step in self._steps:
            step()
        async with asyncio.TaskGroup() as group:
            for module in self._listeners:
                group.create_task(guard(module.name, module.run()), name=module.name)
            for module in self._listeners:
                listening = getattr(module, "listening", None)
                if listening is not None:
                    await listening.wait()
            log.info("CloudCore serves edge nodes")
            ready("serving edge nodes")


async def wait_for_kinds(api: KubeApi, kinds: Iterable[Resource], clock: Clock = SYSTEM) -> None:
    """Wait until the API server serves all `kinds`, saying so as long as it does not."""
    delays = backoff.delays(0.5, 5.0)
    waiting = ""
    for resource in kinds:
        while (reason := await _not_served(api, resource)) is not None:
            if reason != waiting:
                waiting = reason
                log.warning("waiting: %s", reason)
                notify(STATUS=f"waiting: {reason}")
            await clock.sleep(next(delays))


async def without_errors(what: str, call: Callable[[], Awaitable[T]], clock: Clock = SYSTEM) -> T:
    """`call` again and again until the API server does what it is asked."""
    delays = backoff.delays(0.5, 10.0)
    told = ""
    while True:
        try:
            return await call()
        except (ApiError, Unreachable) as error:
            if str(error) != told:
                told = str(error)
                log.warning("%s: %s; trying again", what, error)
                notify(STATUS=f"{what}: {error}")
            await clock.sleep(next(delays))


async def _not_served(api: KubeApi, resource: Resource) -> str | None:
    """Why objects of a kind cannot be read, or None.

    The error for a missing object names it, the one for a missing kind does not.
    """
    try:
        await api.get(resource, PROBE, "default" if resource.namespaced else None)
    except ApiError as error:
        if error.code == 404 and (error.details or {}).get("name") == PROBE:
            return None
        if error.code == 404:
            return (
                f"the API server does not serve {resource.plural}.{resource.group} yet;"
                " `keadm init` applies the definitions"
            )
        return f"{resource.plural}.{resource.group}: {error}"
    except Unreachable as error:
        return str(error)
    return None


async def forget_webhooks(api: KubeApi) -> None:
    """Have webhooks removed that were enabled once. Raises ApiError and Unreachable."""
    try:
        found = await api.list(VALIDATING_WEBHOOKS, label_selector="edgelab.io/webhooks=cloudcore")
    except ApiError as error:
        if error.code != 403:  # who may not read them cannot have made any
            raise
        return
    if found.items:
        from edgelab.cloudcore.webhooks.registration import withdraw  # noqa: PLC0415 - only when needed

        await withdraw(api)
