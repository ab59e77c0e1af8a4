"""What a device has to report: the newest value of each property, until EdgeCore has it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import NoReturn

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.mappers.sdk.link import Link, Offline, Refused, Reported
from edgelab.mappers.sdk.model import Device

log = logging.getLogger("edgelab.mappers.outbox")

FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0


class Outbox:
    """Bounded by the number of properties: a newer value takes the place of one that was not sent."""

    def __init__(self, device: Device, link: Link, clock: Clock) -> None:
        self._device = device
        self._link = link
        self._clock = clock
        self._values: dict[str, Reported] = {}
        self._state = ""
        self._news = asyncio.Event()
        self._complaint = ""

    def put(self, name: str, value: Reported) -> None:
        """Report a value."""
        self._values[name] = value
        self._news.set()

    def put_state(self, state: str) -> None:
        """Report a state."""
        self._state = state
        self._news.set()

    async def run(self) -> NoReturn:
        """Send what is there, for ever."""
        waits = delays(FIRST_WAIT, LONGEST_WAIT)
        while True:
            await self._news.wait()
            self._news.clear()
            values, self._values = self._values, {}
            state, self._state = self._state, ""
            try:
                await self._send(values, state)
            except Offline as error:
                self._values = {**values, **self._values}
                self._state = self._state or state
                self._news.set()
                self._complain(str(error))
                await self._clock.sleep(next(waits))
            else:
                waits = delays(FIRST_WAIT, LONGEST_WAIT)

    async def _send(self, values: dict[str, Reported], state: str) -> None:
        """Both, even if one is refused. Raises Offline."""
        refusal = ""
        if state:
            refusal = await _refusal(self._link.report_state(self._device, state))
        if values:
            refusal = await _refusal(self._link.report(self._device, values)) or refusal
        if refusal:
            self._complain(refusal)
        else:
            self._complaint = ""

    def _complain(self, text: str) -> None:
        level = logging.DEBUG if text == self._complaint else logging.WARNING
        log.log(level, "reports of %s: %s", self._device.id, text)
        self._complaint = text


async def _refusal(report: Awaitable[None]) -> str:
    """Why a report is not taken; empty when it is. Raises Offline."""
    try:
        await report
    except Refused as error:
        return str(error)
    return ""
