"""EdgeHub (KubeEdge `edge/pkg/edgehub`).

Receives: frames from CloudCore, handed by their group to the module that `route` names; messages of
the other modules. Sends: their messages, and a keepalive every `heartbeat` seconds. Stores: nothing.
When CloudCore is gone: everyone who waits for an answer gets Offline, what was queued is dropped (its
senders know what still matters), and a new connection is tried at once, then with growing waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import NoReturn

import msgspec

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal, Unreachable
from edgelab.daemon.notify import notify
from edgelab.edgecore.edgehub.enrolment import Enrolment
from edgelab.edgecore.edgehub.link import Connect, Connection, Disconnected, Distrusted, Endpoint
from edgelab.edgecore.edgehub.outbox import Outbox
from edgelab.edgecore.interfaces import NoAnswer, Offline
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.protocol.session.edge import EdgeSession, Received
from edgelab.protocol.session.sending import Bucket

log = logging.getLogger(__name__)

Handler = Callable[[Message], Awaitable[None]]
"""Takes a message over; may wait, which stops reading from CloudCore."""

STABLE = 10.0
"""A session that lasted so many seconds starts the waits from the beginning."""


class EdgeHub:
    """The module, and `interfaces.Hub` for the other modules."""

    name = "edgehub"

    def __init__(
        self,
        endpoint: Endpoint,
        enrolment: Enrolment,
        clock: Clock,
        *,
        connect: Connect,
        heartbeat: float,
        qps: float,
        burst: int,
        rotate: bool,
        reconnect_cap: float,
        joined_before: Callable[[], bool],
    ) -> None:
        self._endpoint = endpoint
        self._connect = connect
        self._enrolment = enrolment
        self._clock = clock
        self._heartbeat = heartbeat
        self._bucket = Bucket(qps, burst, clock.monotonic())
        self._rotate = rotate
        self._reconnect_cap = reconnect_cap
        self._joined_before = joined_before
        self._enrolling: asyncio.Task[None] | None = None
        self._routes: dict[str, Handler] = {}
        self._listeners: list[Callable[[bool], None]] = []
        self._pending: dict[str, asyncio.Future[Message]] = {}
        self._outbox: Outbox | None = None
        self._link: EdgeSession | None = None
        self._renewed = asyncio.Event()
        self._complaint = ""
        self._refusal = ""
        self._anew_at, self._anew_waits = 0.0, delays(60, 600, floor=0.8)
        self.tell: Callable[[str, str], None] = lambda reason, message: None
        """Takes reason and sentence of what somebody should know about the node."""

    @property
    def connected(self) -> bool:
        """Whether a session is up."""
        return self._outbox is not None

    def route(self, group: str, handler: Handler) -> None:
        """Give messages of `group` that answer nobody's request to `handler`."""
        self._routes[group] = handler

    def on_connection(self, listener: Callable[[bool], None]) -> None:
        """Call `listener(connected)` at each change."""
        self._listeners.append(listener)

    async def send(self, message: Message) -> None:
        """Queue a message. Raises Offline."""
        if self._outbox is None:
            raise Offline("CloudCore is not connected")
        await self._outbox.put(message)

    async def request(self, message: Message, deadline: float) -> Message:
        """Send and await the answer. Raises Offline or NoAnswer."""
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._pending[message.id] = future
        if self._link is not None:
            self._link.expect(message.id)
        try:
            async with asyncio.timeout(deadline):
                await self.send(message)
                return await future
        except TimeoutError:
            route = message.route
            raise NoAnswer(f"no answer to {route.operation} {route.resource} in {deadline:g} s") from None
        finally:
            del self._pending[message.id]
            if self._link is not None:
                self._link.forget(message.id)
            if not future.cancel() and not future.cancelled():
                future.exception()  # seen, even if Offline came from `send` before it came from here

    def begin(self) -> None:
        """Start to enrol before `run`, which waits for it: a child of this process does the work."""
        self._enrolling = asyncio.create_task(self._enrol(), name="edgehub/enrolment")

    async def run(self) -> None:
        """Enrol, then connect, again and again; renew the certificate meanwhile."""
        await (self._enrolling or self._enrol())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_connected(), name="edgehub/connection")
            if self._rotate:
                group.create_task(self._stay_certified(), name="edgehub/rotation")

    async def _enrol(self) -> None:
        await self._enrolment.ensure(patient=self._joined_before())

    async def _stay_certified(self) -> NoReturn:
        while True:
            await self._enrolment.renew_in_time()
            self._renewed.set()

    async def _stay_connected(self) -> NoReturn:
        waits = self._waits()
        while True:
            began = self._clock.monotonic()
            try:
                async with self._connect(self._endpoint) as connection:
                    began = self._clock.monotonic()
                    # A group of its own: before Python 3.13 a TaskGroup that ends for an error forgets a
                    # cancellation that arrives meanwhile, and SIGTERM would be lost.
                    async with asyncio.TaskGroup() as group:
                        session = group.create_task(self._session(connection), name="edgehub/session")
                    reason = session.result()
                    log.warning("connection to CloudCore lost: %s", reason)
            except Distrusted as error:
                if not self._joined_before():
                    raise Fatal(str(error)) from error
                self._complain(str(error))
                await self._enrol_anew(str(error))
            except Unreachable as error:
                self._complain(str(error))
                if problem := self._enrolment.problem():  # what the other side did not say
                    await self._enrol_anew(problem)
            else:
                if self._clock.monotonic() - began >= STABLE:
                    waits = self._waits()
                    self._endpoint = replace(self._endpoint, resend=False)
            await self._clock.sleep(next(waits))

    async def _enrol_anew(self, why: str) -> None:
        """The certificate ran out or was refused: get another one, if there is a token for it."""
        now = self._clock.monotonic()
        if now < self._anew_at:
            return
        self._anew_at = now + next(self._anew_waits)
        try:
            if await self._enrolment.anew():
                self.tell("CertificateReplaced", f"{why}; the node joined anew with its token")
                return
            text = f"{why}; there is no join token (keadm gettoken) to get another certificate with"
        except (Unreachable, Fatal) as error:
            text = f"{why}; joining anew failed: {error}"
        if text != self._refusal:
            log.error("%s", text)
            self.tell("CertificateRefused", text)
        self._refusal = text

    def _waits(self) -> Iterator[float]:
        return delays(1, self._reconnect_cap)

    def _complain(self, why: str) -> None:
        level = logging.DEBUG if why == self._complaint else logging.WARNING
        log.log(level, "CloudCore cannot be reached: %s; working offline", why)
        self._complaint = why
        notify(STATUS=f"offline: {why}")

    async def _session(self, connection: Connection) -> str:
        """Work on one connection until it ends; returns why."""
        link = self._link = EdgeSession(self._bucket, self._clock.monotonic(), self._heartbeat)
        outbox = self._outbox = Outbox(link, self._clock)
        self._renewed.clear()
        self._complaint = ""
        log.info("connected to CloudCore at %s as %s", self._endpoint.server, self._endpoint.node)
        notify(STATUS=f"connected to CloudCore at {self._endpoint.server}")
        reason = ""
        try:
            await connection.send(wire.encode(await outbox.get()))  # a keepalive, as the first message
            self._tell(True)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(connection, link), name="edgehub/read")
                group.create_task(self._write(connection, outbox), name="edgehub/write")
                group.create_task(self._watch_peer(connection), name="edgehub/peer")
                group.create_task(self._leave_when_renewed(), name="edgehub/renewed")
        except* Disconnected as gone:
            reason = str(_first(gone))
        finally:
            self._outbox = self._link = None
            outbox.close()
            self._abandon()
            self._tell(False)
        return reason

    def _abandon(self) -> None:
        for future in self._pending.values():
            if not future.done():
                future.set_exception(Offline("the connection to CloudCore was lost"))

    def _tell(self, connected: bool) -> None:
        for listener in self._listeners:
            listener(connected)

    async def _read(self, connection: Connection, link: EdgeSession) -> NoReturn:
        while True:
            frame = await connection.receive()
            try:
                message = wire.decode(frame)
            except (msgspec.DecodeError, RecursionError) as error:
                log.warning("CloudCore sent something that is no message: %s", error)
                continue
            match link.receive(message):
                case Received.ANSWER:
                    waiting = self._pending.get(message.parent_id)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(message)
                case Received.STRAY:
                    log.debug("an answer that nobody waits for: %s", message.route)
                case Received.PUSH:
                    await self._deliver(message)

    async def _deliver(self, message: Message) -> None:
        handler = self._routes.get(message.route.group)
        if handler is None:
            log.warning("no module of this node takes %s", message.route)
            return
        try:
            await handler(message)
        except Exception:  # the cloud sends again what is not acknowledged: a restart would not help
            log.exception("%s cannot be used: is CloudCore of another release?", message.route)

    async def _write(self, connection: Connection, outbox: Outbox) -> NoReturn:
        while True:
            await connection.send(wire.encode(await outbox.get()))

    async def _watch_peer(self, connection: Connection) -> NoReturn:
        longest = self._endpoint.dead_peer
        while True:
            await self._clock.sleep(longest / 8)
            if (silence := connection.silence()) > longest:
                raise Disconnected(f"nothing was heard of it for {silence:.0f} s")

    async def _leave_when_renewed(self) -> NoReturn:
        await self._renewed.wait()
        raise Disconnected("the certificate was renewed")


def _first(group: BaseExceptionGroup[Disconnected]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
