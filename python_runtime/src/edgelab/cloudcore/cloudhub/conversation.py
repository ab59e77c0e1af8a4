"""One connection of a node at work: its messages go to the hub, what waits for it goes out.

One task stands behind an idle connection, the one that reads. What the node has room for is written at once;
only while it has none there is a task that writes, and what is due later is a timer. There are thousands of
idle connections.
A message that is none is dropped and complained of; after `PATIENCE` of them in a row the session ends.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec

from edgelab.cloudcore.cloudhub.hub import NO_MESSAGE, CloudHub, Session, nothing
from edgelab.cloudcore.cloudhub.lanes import Lanes
from edgelab.cloudcore.cloudhub.link import Broken, Gone, Link
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

log = logging.getLogger("edgelab.cloudcore.sessions")

PATIENCE = 16
MALFORMED = "MalformedMessage"


class Conversation:
    """From the attachment of a session to the end of its link. Times in seconds."""

    __slots__ = (
        "_clock",
        "_due",
        "_hub",
        "_is_listening",
        "_keepalive",
        "_lanes",
        "_link",
        "_loop",
        "_session",
        "_silence",
        "_since",
        "_write",
        "_writer",
    )

    def __init__(
        self,
        hub: CloudHub,
        link: Link,
        session: Session,
        *,
        keepalive_seconds: float,
        write_seconds: float,
        clock: Clock = SYSTEM,
    ) -> None:
        self._hub = hub
        self._link = link
        self._session = session
        self._keepalive = keepalive_seconds
        self._write = write_seconds
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._lanes = Lanes(f"node/{session.node}", self._treat, self._failed)
        self._writer: asyncio.Task[None] | None = None
        self._due: asyncio.TimerHandle | None = None
        """When the writer has something to do again."""
        self._silence: asyncio.TimerHandle | None = None
        self._is_listening = False
        self._since = 0.0
        """Since when the node is listened to without a message."""

    async def run(self, *, resend: bool) -> None:
        """Last as long as the session, and close the link."""
        session = self._session
        session.wake = self._wake
        try:
            self._hub.attach(session, resend=resend)
            self._silence = self._loop.call_later(self._keepalive, self._look)
            await self._until_ended()
        except Gone:
            pass
        except Exception:
            log.exception("node %s: the session failed", session.node)
        finally:
            session.wake = nothing
            self._hub.detach(session)
            await self._stop()
            await self._link.close(session.code, session.reason)

    async def _until_ended(self) -> None:
        """Read until the node, or `Session.end`, ends it. Raises Gone."""
        session = self._session
        try:
            async with asyncio.timeout(None) as limit:
                session.ended = lambda: limit.reschedule(self._loop.time())
                if not session.is_over:
                    await self._read()
        except TimeoutError:
            pass
        finally:
            session.ended = nothing

    async def _stop(self) -> None:
        for timer in (self._silence, self._due):
            if timer is not None:
                timer.cancel()
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        await self._lanes.close()

    async def _read(self) -> None:
        """Take in messages. Raises Gone."""
        nonsense = 0
        while nonsense < PATIENCE:
            frame = await self._next()
            self._hub.counts["received"] += 1
            try:
                message = wire.decode(frame)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                nonsense += 1
                self._complain(MALFORMED, f"it sent something that is no message: {error}")
                continue
            nonsense = 0
            await self._take(message)
        self._session.end(f"sent {PATIENCE} messages in a row that are none", NO_MESSAGE)

    async def _next(self) -> bytes:
        self._since, self._is_listening = self._loop.time(), True
        try:
            return await self._link.receive()
        except Broken as broken:
            self._complain(broken.reason, str(broken))
            self._session.end(broken.why, broken.code)
            raise
        finally:
            self._is_listening = False

    def _look(self) -> None:
        """End the session when the node was silent for too long. One that is not read, because the
        cloud has its hands full, is not silent."""
        silent = self._loop.time() - self._since if self._is_listening else 0.0
        if silent >= self._keepalive:
            self._session.end(f"no keepalive for {self._keepalive:g} s")
        else:
            self._silence = self._loop.call_later(self._keepalive - silent, self._look)

    def _complain(self, reason: str, text: str) -> None:
        self._hub.counts["nonsense"] += 1
        self._hub.complaints.tell(self._session.node, reason, text)

    async def _take(self, message: Message) -> None:
        operation = message.route.operation
        if operation == "keepalive":
            return
        if operation in ("response", "error"):
            # Acknowledgements free the window; they never wait behind requests.
            await self._treat(message)
            return
        await self._lanes.submit(message)

    async def _treat(self, message: Message) -> None:
        await self._hub.receive(self._session, message)

    def _failed(self, message: Message, error: Exception) -> bool:
        return self._hub.failed(self._session, message, error)

    def _wake(self) -> None:
        """There may be something to send."""
        session = self._session
        if self._writer is not None or not session.has_more:
            return
        try:
            rest = self._write_now()
        except Exception:
            self._cannot_send()
            return
        if rest or session.bulk:
            self._writer = asyncio.create_task(self._write_out(rest), name=f"node/{session.node}/write")
        else:
            self._plan()

    def _write_now(self) -> list[Message]:
        """Send what there is while the node has room for it, which needs no task; gives what is left then."""
        while messages := self._session.outbox.poll(self._clock.monotonic()):
            for place, message in enumerate(messages):
                if not self._link.offer(wire.encode(message)):
                    return messages[place:]
                self._hub.counts["sent"] += 1
        return []

    async def _write_out(self, messages: list[Message]) -> None:
        """Send these and all that comes: what users wrote one by one, whenever nothing else waits."""
        session = self._session
        try:
            while True:
                for message in messages:
                    await self._send(message)
                messages = session.outbox.poll(self._clock.monotonic())
                if messages:
                    continue
                parcel = session.bulk.take() if session.bulk is not None else None
                if parcel is None:
                    break
                await self._send(parcel.message)
                parcel.done()
        except TimeoutError:
            self._session.end(f"did not take a message for {self._write:g} s")
        except Gone:
            self._session.end("")
        except Exception:
            self._cannot_send()
        else:
            self._plan()
        finally:
            self._writer = None

    def _cannot_send(self) -> None:
        log.exception("node %s: a message could not be sent", self._session.node)
        self._session.end("a message could not be sent")

    async def _send(self, message: Message) -> None:
        frame = wire.encode(message)
        if not self._link.offer(frame):  # when it has room again, a timer would cost more than the sending
            async with asyncio.timeout(self._write):
                await self._link.send(frame)
        self._hub.counts["sent"] += 1

    def _plan(self) -> None:
        """Come back when something has to be repeated or has rested."""
        if self._due is not None:
            self._due.cancel()
        due = self._session.outbox.next_due()
        delay = None if due is None else max(0.0, due - self._clock.monotonic())
        self._due = None if delay is None else self._loop.call_later(delay, self._wake)
