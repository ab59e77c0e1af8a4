"""Devices that have been silent for too long.

Receives: Devices with the annotation `edgelab.io/offline-after`, and a word for each report. Tells:
`silent(key)` once the time is over, and again after the next report and silence. Stores: nothing; after a
start of CloudCore every device has its whole time again. The original never marks a device offline.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import DELETED, Informer, Key
from edgelab.kube.interface import Obj
from edgelab.objects.devices import OFFLINE_AFTER, annotation
from edgelab.objects.metadata import key_of
from edgelab.settings.durations import seconds

log = logging.getLogger("edgelab.cloudcore.devices")

LOOK = 1.0
"""Seconds between two looks at most: how late silence may be noticed."""


@dataclass(slots=True)
class _Patience:
    """How long a device may be silent (seconds), and when that is over (monotonic; inf: told already)."""

    limit: float
    until: float


class Silence:
    """A module: looks about once a second, if there is anything to look after."""

    name = "devicecontroller/silence"

    def __init__(self, devices: Informer, silent: Callable[[Key], None], clock: Clock = SYSTEM) -> None:
        self._devices = devices
        self._silent = silent
        self._clock = clock
        self._patience: dict[Key, _Patience] = {}
        self._any = asyncio.Event()

    def start(self) -> None:
        """Follow the Devices."""
        self._devices.add_handler(self._device_changed)

    def heard(self, key: Key) -> None:
        """The device said something."""
        if (patience := self._patience.get(key)) is not None:
            patience.until = self._clock.monotonic() + patience.limit

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            await self._any.wait()
            await self._clock.sleep(LOOK)
            self.look()

    def look(self) -> None:
        """Tell of those whose time is over."""
        now = self._clock.monotonic()
        for key, patience in self._patience.items():
            if patience.until <= now:
                patience.until = float("inf")
                self._silent(key)

    def _device_changed(self, event: str, _old: Obj | None, device: Obj) -> None:
        key = key_of(device)
        limit = 0.0 if event == DELETED else _limit(device)
        known = self._patience.get(key)
        if limit <= 0:
            self._patience.pop(key, None)
        elif known is None or known.limit != limit:
            self._patience[key] = _Patience(limit, self._clock.monotonic() + limit)
        self._any.set() if self._patience else self._any.clear()


def _limit(device: Obj) -> float:
    text = annotation(device, OFFLINE_AFTER)
    try:
        return seconds(text) if text else 0.0
    except ValueError as error:
        log.warning("device %s/%s: annotation %s: %s", *key_of(device), OFFLINE_AFTER, error)
        return 0.0
