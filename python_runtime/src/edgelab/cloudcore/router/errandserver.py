"""Takes errands of other CloudCores: delivers their messages to nodes that are connected here.

Who asks was authenticated and counted by the other one, for its rule; here its seal is what counts. What
comes this way is delivered here, kept here, or refused: it never goes on to a third CloudCore, nor back.
A ticket counts once, and for `FRESH_SECONDS`, as an eavesdropper on plain HTTP could send it again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from aiohttp import web

from edgelab.cloudcore.router import errands, intake
from edgelab.cloudcore.router.deliveries import Answer, Call
from edgelab.cloudcore.router.downward import Downward
from edgelab.cloudcore.router.errands import BadErrand, Errand, Outcome, Sealed, Ticket
from edgelab.cloudcore.router.errors import Undeliverable

FRESH_SECONDS = 300.0
"""By which two CloudCores' clocks may differ."""
REMEMBERED = 1 << 16
"""Tickets of that time; beyond, the oldest is forgotten."""


class ErrandServer:
    """Answers requests for `errands.PATH`."""

    def __init__(
        self,
        sealed: Sealed,
        downward: Downward,
        budget: intake.Budget,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sealed = sealed
        self._downward = downward
        self._budget = budget
        self._now = now
        self._seen: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        """Errands by what became of them: `delivered`, `kept`, `failed`."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to one request."""
        try:
            ticket = self._ticket(request)
            with intake.Reservation(self._budget) as reserved:
                data = await intake.read(request, reserved, errands.LARGEST_BODY)
                outcome, body = await self._carry_out(ticket, data)
        except BadErrand as error:
            return _refusal(401, f"{error}")
        except Undeliverable as error:
            return _refusal(error.status, f"{error}")
        answer = errands.pack(outcome, body)
        sealed = self._sealed.ticket(ticket.sender, ticket.number, answer)
        return web.Response(body=answer, headers={errands.HEADER: sealed})

    def _ticket(self, request: web.BaseRequest) -> Ticket:
        """Raises BadErrand, before the body is read."""
        ticket = self._sealed.read(request.headers.get(errands.HEADER, ""))
        if ticket.to != self._sealed.me:
            raise BadErrand(f"this is CloudCore {self._sealed.me}, and the errand is for {ticket.to}")
        now = self._now()
        if abs(now - ticket.at) > FRESH_SECONDS:
            raise BadErrand(f"the clocks of the two CloudCores differ by {abs(now - ticket.at):.0f} s")
        if ticket.number in self._seen:
            raise BadErrand("the errand has come before")
        self._seen[ticket.number] = now
        self._forget(now)
        return ticket

    def _forget(self, now: float) -> None:
        while self._seen:
            oldest = next(iter(self._seen))
            if len(self._seen) <= REMEMBERED and now - self._seen[oldest] <= 2 * FRESH_SECONDS:
                return
            del self._seen[oldest]

    async def _carry_out(self, ticket: Ticket, data: bytes) -> tuple[Outcome, bytes]:
        if not errands.is_of(ticket, data):
            raise BadErrand("the body is not the ticket's")
        errand, body = errands.unpack(data, Errand)
        try:
            outcome, answer = await self._deliver(errand, body)
        except Undeliverable as error:
            self.counts["failed"] += 1
            return Outcome(error.status, error=str(error), retry_after=error.retry_after), b""
        self.counts["kept" if outcome.kept else "delivered"] += 1
        return outcome, answer

    async def _deliver(self, errand: Errand, body: bytes) -> tuple[Outcome, bytes]:
        deadline = asyncio.get_running_loop().time() + errand.seconds
        if errand.request is None:
            delivered = await self._downward.publish_here(
                errand.rule, errand.node, errand.topic, body, deadline, keep=errand.keep
            )
            return Outcome(kept=not delivered), b""
        asked = errand.request
        call = Call(asked.method, asked.resource, asked.header, body)
        answer: Answer = await self._downward.call_here(errand.node, call, deadline)
        header = {name: list(values) for name, values in answer.header.items()}
        return Outcome(answer.status, header), answer.body


def _refusal(status: int, text: str) -> web.StreamResponse:
    answer = web.Response(status=status, text=f"{text}\n")
    answer.force_close()  # the rest of the request is not read
    return answer
