"""Informers of kinds that are followed only once they are asked for."""

from __future__ import annotations

import asyncio

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.tasks import Supervisor, guard
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi, Resource


class OnDemand:
    """A module: owns the informers that `start` makes."""

    name = "ondemand"

    def __init__(self, api: KubeApi, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._clock = clock
        self._owner = Supervisor(self.name)

    async def run(self) -> None:
        """Keep what was started until cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._owner.close()

    def start(self, resource: Resource) -> Informer:
        """A new informer of a kind, which has not listed yet."""
        informer = Informer(self._api, resource, clock=self._clock)
        self._owner.spawn(guard(informer.name, informer.run()), resource.plural)
        return informer
