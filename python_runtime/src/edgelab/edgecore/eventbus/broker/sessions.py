"""The sessions of all clients, and who of them wants which topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgelab.edgecore.eventbus.broker.session import Session
from edgelab.edgecore.eventbus.broker.tree import Tree

FILTERS = 256
"""Subscriptions of one client."""


class Sessions:
    """By client identifier; `kept` of absent clients at most, those that left last."""

    def __init__(self, queue: int, kept: int) -> None:
        self._queue = queue
        self._kept = kept
        self._sessions: dict[str, Session] = {}
        self._tree: Tree[Session] = Tree()

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    def find(self, client_id: str) -> Session | None:
        """A client's session."""
        return self._sessions.get(client_id)

    def open(self, client_id: str, user: str, *, clean: bool) -> tuple[Session, bool]:
        """A session for a client, and whether it is one that was kept. Another user's is not given."""
        older = self._sessions.get(client_id)
        if older is not None and not older.clean and not clean and older.user == user:
            return older, True
        if older is not None:
            self._forget(older)
        session = Session(client_id, user, clean=clean, queue=self._queue)
        self._sessions[client_id] = session
        return session, False

    def part(self, session: Session) -> None:
        """A client's connection has ended."""
        session.sink = None
        if session.clean:
            self._forget(session)
            return
        self._sessions[session.client_id] = self._sessions.pop(session.client_id)  # the last to leave
        away = [kept for kept in self._sessions.values() if kept.sink is None]
        for longest_away in away[: max(0, len(away) - self._kept)]:
            self._forget(longest_away)

    def subscribe(self, session: Session, pattern: str, qos: int) -> bool:
        """Subscribe; False when the client has too many subscriptions."""
        if pattern not in session.filters and len(session.filters) >= FILTERS:
            return False
        session.filters[pattern] = qos
        self._tree.add(pattern, session, qos)
        return True

    def unsubscribe(self, session: Session, pattern: str) -> None:
        """Unsubscribe."""
        if session.filters.pop(pattern, None) is not None:
            self._tree.remove(pattern, session)

    def wanting(self, topic: str) -> Mapping[Session, int]:
        """Who wants what is published on a topic, and with which QoS."""
        return self._tree.match(topic)

    def _forget(self, session: Session) -> None:
        for pattern in session.filters:
            self._tree.remove(pattern, session)
        session.filters.clear()
        if self._sessions.get(session.client_id) is session:
            del self._sessions[session.client_id]
