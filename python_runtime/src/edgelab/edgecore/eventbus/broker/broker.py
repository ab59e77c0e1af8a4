"""The internal broker: sessions, subscriptions and the way of a message from one to the others.

Receives: clients' connections, EventBus's messages. Sends: messages to whoever subscribed, and to EventBus
what it listens to. Stores: nothing; sessions and retained messages last as long as the process. A client
that is slow loses messages (`session`); one that breaks the protocol loses its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NoReturn

from edgelab.daemon.clock import Clock
from edgelab.edgecore.eventbus import names
from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.access import Access
from edgelab.edgecore.eventbus.broker.connection import Connection
from edgelab.edgecore.eventbus.broker.packets import Connect, Malformed, Message
from edgelab.edgecore.eventbus.broker.retained import Retained
from edgelab.edgecore.eventbus.broker.session import Session
from edgelab.edgecore.eventbus.broker.sessions import Sessions
from edgelab.edgecore.eventbus.broker.tree import Tree
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.edgecore.eventbus.inbox import Inbox

log = logging.getLogger(__name__)

SWEEP = 5.0
"""Seconds between two looks at clients that have gone silent, and at the files of users and rules."""

LOGIN_TIME = 10.0
CLIENT_ID = 256
"""Characters of a client identifier."""

REFUSALS = {
    packets.BAD_CLIENT_ID: f"a client identifier has 1 to {CLIENT_ID} characters",
    packets.BAD_LOGIN: "name or password is wrong",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use up."""

    clients: int = 256
    """Connections at a time."""
    kept: int = 64
    """Sessions of absent clients; then the one that has been away longest is forgotten."""
    queue: int = 100
    """Messages that wait for one client (mqttSessionQueueSize)."""
    packet: int = 256 * 1024
    """Bytes of one packet."""


class Broker:
    """The broker. `serve` listens, `sweep` looks after what is there."""

    def __init__(self, access: Access, limits: Limits, inbox: Inbox, clock: Clock, drops: Drops) -> None:
        self._access = access
        self._limits = limits
        self._inbox = inbox
        self._clock = clock
        self._drops = drops
        self._connections: set[Connection] = set()
        self._sessions = Sessions(limits.queue, limits.kept)
        self._heard: Tree[str] = Tree()
        self._retained = Retained()

    # EventBus's side

    @contextlib.asynccontextmanager
    async def serve(self, host: str, port: int, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
        """Listen; gives the port. Raises OSError. At the end every client is sent away."""
        loop = asyncio.get_running_loop()
        patience = LOGIN_TIME if tls else None
        server = await loop.create_server(
            lambda: Connection(self, self._limits.packet), host, port, ssl=tls, ssl_handshake_timeout=patience
        )
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            for connection in list(self._connections):
                connection.abort("EdgeCore ends")

    def listen_to(self, pattern: str) -> None:
        """Put what clients publish on these topics into the inbox. Raises ValueError."""
        if problem := names.filter_problem(pattern):
            raise ValueError(problem)
        self._heard.add(pattern, pattern, 0)

    def ignore(self, pattern: str) -> None:
        """Undo `listen_to`."""
        self._heard.remove(pattern, pattern)

    def publish(self, message: Message) -> None:
        """Tell the clients."""
        self._keep(message)
        self._distribute(message, None)

    async def sweep(self) -> NoReturn:
        """Send away who is silent for too long, or may not log in any more."""
        while True:
            await self._clock.sleep(SWEEP)
            self.look()

    def look(self) -> None:
        """One round of `sweep`."""
        now, changed = self.now(), self._access.refresh()
        for connection in list(self._connections):
            silent = now - connection.heard
            if connection.held:
                continue
            if connection.session is None:
                if silent > LOGIN_TIME:
                    connection.abort("no CONNECT came")
            elif connection.keepalive and silent > connection.keepalive * 1.5:
                connection.abort(f"silent for {silent:.0f} s")
            elif changed and not self._access.knows(connection.session.user):
                connection.abort("the user may not log in any more")
        for session in self._sessions:
            if session.lost:
                what = f"a message for client {session.client_id!r}, which is too slow, is lost"
                self._drops.count(what, session.lost)
                session.lost = 0

    # The connections' side

    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock.monotonic()

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for another connection."""
        if len(self._connections) < self._limits.clients:
            self._connections.add(connection)
            return True
        self._drops.count(f"there are {self._limits.clients} clients, further ones are sent away")
        return False

    def log_in(self, connection: Connection, connect: Connect) -> None:
        """Accept or refuse a client."""
        if (code := self._refusal(connect)) != packets.ACCEPTED:
            connection.send(packets.connack(code))
            connection.faulty = True
            user = (connect.username or "")[:64]
            connection.close(f"login of user {user!r} refused, {REFUSALS[code]}")
            return
        client_id = connect.client_id or f"auto-{uuid.uuid4()}"
        user = connect.username or "" if not self._access.anonymous else ""
        older = self._sessions.find(client_id)
        if older is not None and isinstance(older.sink, Connection):
            self._take_over(older.sink, older)
        session, present = self._sessions.open(client_id, user, clean=connect.clean)
        connection.session, connection.will = session, connect.will
        connection.keepalive = connect.keepalive
        connection.send(packets.connack(packets.ACCEPTED, present=present))
        session.resume(connection)
        log.debug("MQTT client %r is here, from %s", client_id, connection.peer)

    def _refusal(self, connect: Connect) -> int:
        if not self._access.may_log_in(connect.username, connect.password):
            return packets.BAD_LOGIN
        if (not connect.client_id and not connect.clean) or len(connect.client_id) > CLIENT_ID:
            return packets.BAD_CLIENT_ID
        return packets.ACCEPTED

    def _take_over(self, connection: Connection, session: Session) -> None:
        self._part(connection, session)
        connection.session = None
        connection.abort("another client connected with its identifier")

    def published(self, connection: Connection, message: Message) -> None:
        """A client published something."""
        session = connection.session
        if session is None:
            return
        if not self._access.allows("write", session.user, session.client_id, message.topic):
            who = f"{session.client_id!r}, user {session.user!r}"
            self._drops.count(f"client {who} may not publish on {message.topic[:200]!r}")
            return
        self._keep(message)
        self._distribute(message, connection)
        self._hear(message)
        if self._inbox.full:
            connection.hold(self._inbox)
            self._inbox.when_free(lambda: connection.release(self._inbox))

    def subscribe(self, connection: Connection, wanted: list[tuple[str, int]]) -> list[int]:
        """Subscribe; returns the codes of SUBACK."""
        session = connection.session
        assert session is not None
        for pattern, _ in wanted:
            if problem := names.filter_problem(pattern):
                raise Malformed(f"{pattern[:64]!r}: {problem}")
        return [
            qos if self._sessions.subscribe(session, pattern, qos) else packets.REFUSED
            for pattern, qos in wanted
        ]

    def subscribed(self, connection: Connection, wanted: list[tuple[str, int]]) -> None:
        """Send what is retained."""
        session = connection.session
        assert session is not None
        for pattern, qos in wanted:
            if pattern not in session.filters:
                continue
            for message in self._retained.match(pattern):
                if self._access.allows("read", session.user, session.client_id, message.topic):
                    session.deliver(message, min(qos, message.qos))

    def unsubscribe(self, connection: Connection, patterns: list[str]) -> None:
        """Unsubscribe."""
        session = connection.session
        assert session is not None
        for pattern in patterns:
            self._sessions.unsubscribe(session, pattern)

    def gone(self, connection: Connection, why: str) -> None:
        """A connection has ended."""
        self._connections.discard(connection)
        session = connection.session
        if connection.faulty:
            self._drops.count(f"a client at {connection.peer} is sent away: {why}")
        else:
            log.debug("the MQTT client at %s is gone: %s", connection.peer, why)
        if session is not None and session.sink is connection:
            self._part(connection, session)

    # What both sides need

    def _part(self, connection: Connection, session: Session) -> None:
        self._sessions.part(session)
        will, connection.will = connection.will, None
        if will is not None and self._access.allows("write", session.user, session.client_id, will.topic):
            self.publish(will)
            self._hear(will)

    def _hear(self, message: Message) -> None:
        if self._heard.match(message.topic):
            self._inbox.put(message.topic, message.payload)

    def _keep(self, message: Message) -> None:
        if message.retain and not self._retained.keep(message):
            self._drops.count("a message is not retained: there are too many")

    def _distribute(self, message: Message, publisher: Connection | None) -> None:
        if message.retain:
            message = message._replace(retain=False)
        for session, wanted in self._sessions.wanting(message.topic).items():
            if not self._access.allows("read", session.user, session.client_id, message.topic):
                continue
            session.deliver(message, min(wanted, message.qos))
            receiver = session.sink
            if publisher is not None and session.crowded and isinstance(receiver, Connection):
                receiver.brake(publisher)
