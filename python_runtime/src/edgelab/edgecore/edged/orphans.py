"""Sandboxes, containers and volumes that belong to no pod of this node: ended and removed.

Looked for soon after the start and then every minute. While the Node is not in the store, that is while the
store is new, nothing is taken for an orphan: the cloud has yet to say which pods are the node's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import NoReturn

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.edgecore.edged import cleaning, state
from edgelab.edgecore.edged.ending import end_containers
from edgelab.edgecore.edged.hooks import Hand
from edgelab.edgecore.edged.kit import Kit
from edgelab.edgecore.edged.pleg import Pleg

log = logging.getLogger(__name__)

FIRST, PERIOD = 10.0, 60.0
"""Seconds until they are looked for, first and from then on."""


class Orphans:
    """`pods` are the uids of this node's pods; `registered` tells whether the store has the Node."""

    def __init__(self, kit: Kit, pleg: Pleg, pods: Collection[str], registered: Callable[[], bool]) -> None:
        self._kit = kit
        self._pleg = pleg
        self._pods = pods
        self._registered = registered

    async def run(self) -> NoReturn:
        """Look for ever."""
        clock = self._kit.clock
        await clock.sleep(FIRST)
        # Without its Node the store is new: what runs may well be ours, and the cloud will say so.
        new_store = not self._registered()
        while not self._registered():
            await clock.sleep(FIRST)
        if new_store:
            await clock.sleep(PERIOD)
        while True:
            for uid in (self._pleg.uids | self._kit.volumes.known()) - set(self._pods):
                try:
                    await self._remove(uid)
                except (RuntimeUnreachable, CriError, OSError, ExceptionGroup) as error:
                    log.warning("what is left of pod %s could not be removed yet: %s", uid, error)
            await clock.sleep(PERIOD)

    async def _remove(self, uid: str) -> None:
        kit = self._kit
        found = await state.read_pod(kit.runtime, uid)
        if uid in self._pods:
            return  # it came while we looked
        if found.sandboxes or found.containers:
            log.info("pod %s/%s (%s) is no pod of this node: removed", found.namespace, found.name, uid)
            nobody = {"metadata": {"name": found.name, "namespace": found.namespace, "uid": uid}, "spec": {}}
            grace = max((container.grace for container in found.running()), default=1)
            hand = Hand(kit.runtime, kit.clock, kit.events)
            await end_containers(hand, nobody, found.running(), max(1, grace))
            await cleaning.erase(kit.runtime, found)
        await kit.volumes.remove(uid)
