"""Carrying a change out: in memory at once, then in the store, then told to MQTT clients and to the cloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgecore.devicetwin import devices as table
from edgelab.edgecore.devicetwin import twins
from edgelab.edgecore.devicetwin.clients import Clients
from edgelab.edgecore.devicetwin.commits import Commits
from edgelab.edgecore.devicetwin.devices import Device
from edgelab.edgecore.devicetwin.reporter import SPOOLED, STATE, Reporter
from edgelab.edgecore.devicetwin.spool import Spool
from edgelab.edgecore.devicetwin.twins import Outcome
from edgelab.edgecore.interfaces import Hub, Refused
from edgelab.edgecore.store import Store
from edgelab.protocol import topics
from edgelab.protocol.message import now_ms
from edgelab.protocol.twin import STATES, Twin, envelope

MOST_PROPERTIES = 1024
"""Of one device: what a client makes up is kept in memory for ever."""


class Updates:
    """`ids` are the forms of a device's id under which clients are told; none when they are not told."""

    def __init__(
        self, store: Store, hub: Hub, clock: Clock, commits: Commits, *, clients: Clients, reporter: Reporter
    ) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._commits = commits
        self._clients = clients
        self._reporter = reporter
        self._spool = Spool(store)

    def from_node(
        self, device: Device, request: Mapping[str, Twin | None], ids: tuple[str, ...], event: str
    ) -> None:
        """What a mapper or client reports. Raises Refused."""
        try:
            outcome = twins.update(device.twins, request, now_ms(), dated=device.spool > 0)
        except twins.Rejected as error:
            raise Refused(400, str(error)) from error
        if len(device.twins.keys() | outcome.changed.keys()) > MOST_PROPERTIES:
            raise Refused(400, f"a device may have at most {MOST_PROPERTIES} properties")

        def answer() -> None:
            self._clients.result(ids, topics.TWIN_UPDATE_RESULT, event, twin=outcome.result)

        self._carry_out(device, outcome, ids, event, answer if ids else _nothing, keep=device.spool > 0)

    def from_cloud(
        self, device: Device, request: Mapping[str, Twin | None], ids: tuple[str, ...], event: str
    ) -> None:
        """Twins with versions; where the cloud's are behind it is told ours."""
        outcome = twins.sync(device.twins, request)
        refused = list(outcome.refused)
        self._carry_out(device, outcome, ids, event, lambda: self._reporter.mark(device.id, refused))

    def wishes(self, device: Device, outcome: Outcome, ids: tuple[str, ...]) -> None:
        """What the Device object wants has changed."""
        self._carry_out(device, outcome, ids, "", _nothing)

    def state(self, device: Device, state: str, ids: tuple[str, ...]) -> None:
        """The device's own report of its state. Raises Refused."""
        if state.lower() not in STATES:
            raise Refused(400, f"the state must be one of {', '.join(sorted(STATES))}")
        device.state = state
        device.last_online = rfc3339(self._clock.now()) if state.lower() in ("online", "ok") else ""

        def then() -> None:
            self._clients.state(ids, state_of(device))
            self._reporter.mark(device.id, [STATE])

        self._commits.put({(device.id, STATE): lambda: [table.put_device(device)]}, then=then)

    def _carry_out(
        self,
        device: Device,
        outcome: Outcome,
        ids: tuple[str, ...],
        event: str,
        first: Callable[[], None],
        *,
        keep: bool = False,
    ) -> None:
        """`first` comes first when it is stored. With `keep` the cloud is told this very change too."""
        device.twins |= outcome.changed
        delta = twins.delta(device.twins) if ids else ({}, {})
        rows = {
            (device.id, name): partial(table.put_twin, device.id, name, twin)
            for name, twin in outcome.changed.items()
        }
        kept = self._spool.keep(device, outcome.changed) if keep else []

        def then() -> None:
            first()
            if ids:
                self._clients.changed(ids, event, outcome, delta)
            self._reporter.mark(device.id, [SPOOLED] if kept else outcome.changed)

        def failed() -> None:
            if not any(map(self._commits.is_waiting, rows)):
                device.twins = table.load_twins(self._store, device.id)
            reason = "the twin could not be stored"
            self._clients.refuse(ids, topics.TWIN_UPDATE_RESULT, event, 500, reason)

        self._commits.put(rows, kept, then=then, failed=failed)


def state_of(device: Device) -> dict[str, Any]:
    """A device's state as clients and the cloud are told of it."""
    last = {"lastOnlineTime": device.last_online} if device.last_online else {}
    return envelope(device={"name": device.name, "state": device.state, **last})


def _nothing() -> None:
    pass
