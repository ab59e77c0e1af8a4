"""Which CloudCores there are: one Lease for each, `cloudcore-replica-<id>`, renewed while it runs.

Receives: all Leases of CloudCores from the informer. Writes: its own, each `RENEW_SECONDS`, and deletes it
when it ends; those that nobody renewed for `FORGET_SECONDS` are deleted, too.
Whether another one lives is told by when its Lease was last seen to change, on this machine's clock: clocks
need not agree. Without the API the others seem dead after a while; that costs superfluous records only.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.daemon.clock import SYSTEM, Clock, rfc3339_micro
from edgelab.daemon.errors import Unreachable
from edgelab.kube.informer import DELETED, Informer
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import LEASES
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.replicas")

LABEL = "edgelab.io/cloudcore"
"""On every Lease of CloudCores: what it is about, `replica` or `node`."""
REPLICA = "replica"
PREFIX = "cloudcore-replica-"
INSTANCE = "edgelab.io/instance"
RENEW_SECONDS, LIFE_SECONDS, FORGET_SECONDS = 5.0, 15, 3600.0
FAREWELL_SECONDS = 2.0
SAME_NAME = "ReplicaNameTaken"


class _Sight(NamedTuple):
    renewed: str
    seen: float
    life: float
    notes: Mapping[str, str]


class Replicas:
    """A module. `me` is this one's id."""

    name = "cloudhub/replicas"

    def __init__(
        self, api: KubeApi, complaints: Complaints, *, namespace: str, me: str, clock: Clock = SYSTEM
    ) -> None:
        self.me = me
        self._api = api
        self._complaints = complaints
        self._namespace = namespace
        self._clock = clock
        self._instance = str(uuid.uuid4())
        self._sights: dict[str, _Sight] = {}
        self.trouble = ""
        """Why the own Lease cannot be renewed; empty while it is."""
        self.notes: dict[str, str] = {}
        """What others are to know of this one: annotations for the next renewal; an empty one is removed."""
        self._mine = False
        """Whether this one's Lease has been seen as this process writes it."""

    def follow(self, informer: Informer) -> None:
        """Watch the others."""
        informer.add_handler(self._changed)

    def live(self, replica: str) -> bool:
        """Whether a CloudCore runs, as far as can be told."""
        if replica == self.me:
            return True
        sight = self._sights.get(replica)
        return sight is not None and self._clock.monotonic() - sight.seen < sight.life

    def note(self, replica: str, annotation: str) -> str:
        """What another one's Lease says of it; empty for nothing."""
        sight = self._sights.get(replica)
        return "" if sight is None else sight.notes.get(annotation, "")

    @property
    def alone(self) -> bool:
        """Whether no other one runs, as far as can be told."""
        return not any(self.live(replica) for replica in self._sights if replica != self.me)

    def alive(self) -> list[str]:
        """All that run, this one among them."""
        return sorted({self.me, *(replica for replica in self._sights if self.live(replica))})

    async def run(self) -> None:
        """Renew until cancelled, then say goodbye."""
        try:
            while True:
                await self._turn()
                await self._clock.sleep(RENEW_SECONDS)
        finally:
            await self._leave()

    async def _turn(self) -> None:
        try:
            await self.renew()
            await self._bury()
        except (ApiError, Unreachable) as error:
            if not self.trouble:
                log.warning("the Lease of this CloudCore cannot be renewed: %s; trying again", error)
            self.trouble = str(error)
        else:
            if self.trouble:
                log.info("the Lease of this CloudCore is renewed again")
            self.trouble = ""

    async def renew(self) -> None:
        """Show that this one runs. Raises ApiError, Unreachable."""
        now = rfc3339_micro(self._clock.now())
        # `null` in a merge patch takes away what an earlier process of this id has told of itself.
        annotations = {INSTANCE: self._instance, **{name: text or None for name, text in self.notes.items()}}
        metadata = {"name": PREFIX + self.me, "labels": {LABEL: REPLICA}, "annotations": annotations}
        spec = {"holderIdentity": self.me, "leaseDurationSeconds": LIFE_SECONDS, "renewTime": now}
        lease = {"metadata": metadata, "spec": spec}
        try:
            await self._api.patch(LEASES, PREFIX + self.me, lease, self._namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            annotations = {name: text for name, text in annotations.items() if text}
            lease = {"metadata": {**metadata, "annotations": annotations}, "spec": spec}
            await self._api.create(LEASES, lease, self._namespace)

    async def _bury(self) -> None:
        limit = self._clock.monotonic() - FORGET_SECONDS
        for replica in [replica for replica, sight in self._sights.items() if sight.seen < limit]:
            log.info("CloudCore %s has been away for long; its Lease is deleted", replica)
            await self._delete(replica)
            self._sights.pop(replica, None)

    async def _leave(self) -> None:
        with suppress(ApiError, Unreachable, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._delete(self.me)

    async def _delete(self, replica: str) -> None:
        try:
            await self._api.delete(LEASES, PREFIX + replica, self._namespace)
        except ApiError as error:
            if error.code != 404:
                raise

    def _changed(self, event: str, _old: Obj | None, lease: Obj) -> None:
        metadata, spec = lease["metadata"], lease.get("spec") or {}
        if (metadata.get("labels") or {}).get(LABEL) != REPLICA:
            return
        replica = metadata["name"].removeprefix(PREFIX)
        if event == DELETED:
            self._sights.pop(replica, None)
            return
        if replica == self.me:
            self._compare((metadata.get("annotations") or {}).get(INSTANCE))
            return
        renewed = spec.get("renewTime") or ""
        known = self._sights.get(replica)
        if known is None or known.renewed != renewed:
            life = float(spec.get("leaseDurationSeconds") or LIFE_SECONDS)
            notes = metadata.get("annotations") or {}
            self._sights[replica] = _Sight(renewed, self._clock.monotonic(), life, notes)

    def _compare(self, instance: str | None) -> None:
        """Another process that writes this one's Lease has the same id, unless it ran before this one."""
        if instance == self._instance:
            self._mine = True
        elif self._mine:
            text = f"another CloudCore calls itself {self.me!r}, too; give each its own edgelab.replica"
            self._complaints.tell("", SAME_NAME, text)
