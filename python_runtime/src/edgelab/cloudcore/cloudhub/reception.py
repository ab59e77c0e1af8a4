"""Nodes are received here, by whatever listener: the door, then a session until one side ends it.

A message that is none is dropped and complained of; after `PATIENCE` of them in a row the session ends.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import msgspec

from edgelab.cloudcore.cloudhub.hub import LATER, NO_MESSAGE, CloudHub, Session
from edgelab.cloudcore.cloudhub.lanes import Lanes
from edgelab.cloudcore.cloudhub.link import Broken, Gone, Link
from edgelab.cloudcore.cloudhub.peer import Door, Peer, Refusal
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

log = logging.getLogger("edgelab.cloudcore.sessions")

NODE_HEADER, WINDOW_HEADER, RESEND_HEADER = "node_id", "edgelab-window", "edgelab-resend"
HEADERS = frozenset({NODE_HEADER, WINDOW_HEADER, RESEND_HEADER})
"""Those of a handshake that matter here."""
PATIENCE = 16
MALFORMED = "MalformedMessage"


class Reception:
    """Lets nodes in and works on their connections. Shared by all listeners."""

    def __init__(
        self,
        hub: CloudHub,
        door: Door,
        *,
        keepalive_seconds: float,
        write_seconds: float,
        window: int,
        clock: Clock = SYSTEM,
    ) -> None:
        """`window`: how many messages may be under way to one node, at most."""
        self.complaints = hub.complaints
        self._hub = hub
        self._door = door
        self._keepalive = keepalive_seconds
        self._write = write_seconds
        self._window = window
        self._clock = clock

    def refusal(self, claimed: list[str], peer: Peer) -> Refusal | None:
        """Why a node that claims these names with this certificate is not let in, or None."""
        refusal = self._door.refusal(claimed, peer)
        if refusal is not None:
            # The complaint is of the node in the certificate: what the header claims is proven by nothing.
            self.complaints.tell(peer.node, refusal.reason, f"a connection was refused: {refusal.text}")
        return refusal

    async def converse(self, link: Link) -> None:
        """Work on the connection of a node that was let in, until it ends; closes it."""
        claimed = link.header(NODE_HEADER)
        # Others may have come, and certificates been revoked, since this one was admitted.
        if refusal := self.refusal(claimed, link.peer):
            await link.close(LATER, refusal.text)
            return
        session = Session(claimed[0], self._window_of(link.header(WINDOW_HEADER)), link.peer)
        lanes = Lanes(
            f"node/{session.node}",
            lambda message: self._hub.receive(session, message),
            lambda message, error: self._hub.failed(session, message, error),
        )
        self._hub.attach(session, resend=link.header(RESEND_HEADER) == ["1"])
        parts = {
            asyncio.create_task(part, name=f"node/{session.node}/{name}")
            for name, part in (
                ("read", self._read(link, session, lanes)),
                ("write", self._write_out(link, session)),
                ("ended", session.ended.wait()),
            )
        }
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.detach(session)
            for part in parts:
                part.cancel()
            for result in await asyncio.gather(*parts, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, Gone):
                    log.error("node %s: the session failed", session.node, exc_info=result)
            await lanes.close()
            await link.close(session.code, session.reason)

    async def _read(self, link: Link, session: Session, lanes: Lanes) -> None:
        """Take in messages; ends when the node closes or is silent for too long."""
        nonsense = 0
        try:
            while nonsense < PATIENCE:
                async with asyncio.timeout(self._keepalive):
                    frame = await link.receive()
                self._hub.counts["received"] += 1
                try:
                    message = wire.decode(frame)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    nonsense += 1
                    self._complain(session, MALFORMED, f"it sent something that is no message: {error}")
                    continue
                nonsense = 0
                await self._take(session, lanes, message)
            session.end(f"sent {PATIENCE} messages in a row that are none", NO_MESSAGE)
        except TimeoutError:
            session.end(f"no keepalive for {self._keepalive:g} s")
        except Broken as broken:
            self._complain(session, broken.reason, str(broken))
            session.end(broken.why, broken.code)

    def _complain(self, session: Session, reason: str, text: str) -> None:
        self._hub.counts["nonsense"] += 1
        self.complaints.tell(session.node, reason, text)

    async def _take(self, session: Session, lanes: Lanes, message: Message) -> None:
        operation = message.route.operation
        if operation == "keepalive":
            return
        if operation in ("response", "error"):
            # Acknowledgements free the window; they never wait behind requests.
            await self._hub.receive(session, message)
            return
        await lanes.submit(message)

    async def _write_out(self, link: Link, session: Session) -> None:
        try:
            while True:
                session.wake.clear()
                for message in session.outbox.poll(self._clock.monotonic()):
                    async with asyncio.timeout(self._write):
                        await link.send(wire.encode(message))
                    self._hub.counts["sent"] += 1
                if not session.wake.is_set():
                    await self._until_due(session)
        except TimeoutError:
            session.end(f"did not take a message for {self._write:g} s")

    async def _until_due(self, session: Session) -> None:
        due = session.outbox.next_due()
        delay = None if due is None else max(0.0, due - self._clock.monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await session.wake.wait()

    def _window_of(self, wishes: list[str]) -> int:
        wish = wishes[0] if len(wishes) == 1 else ""
        return min(int(wish), self._window) if wish.isdecimal() and len(wish) < 9 and wish != "0" else 1
