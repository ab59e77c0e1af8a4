"""CloudHub: the sessions of all nodes, where messages go, and reliable delivery.

Receives: messages of nodes from the WebSocket listener; objects and replies from the controllers.
Sends: to each node through its session's outbox. Stores: ObjectSyncs through the tracker.
When a node is away: objects are only recorded (SyncController brings them), everything else is lost,
as in the original.
Dispatch: KubeEdge `cloud/pkg/cloudhub/dispatcher/message_dispatcher.go` (docs/reference/protocol.md).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext

from edgelab.cloudcore.cloudhub import rivals
from edgelab.cloudcore.cloudhub.authorization import Authorizer
from edgelab.cloudcore.cloudhub.bulk import Bulk, Parcel
from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.cloudcore.cloudhub.peer import REFUSALS, REVOKED, Peer
from edgelab.cloudcore.cloudhub.tracker import SyncTracker
from edgelab.cloudcore.interfaces import Handler
from edgelab.cloudcore.metrics import Histogram
from edgelab.cloudcore.replies import refused
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message, Route
from edgelab.protocol.session.cloud import Heard, Outbox
from edgelab.protocol.session.delivery import RESPONSE, Delivery

log = logging.getLogger("edgelab.cloudcore.hub")

TASK_OPERATIONS = frozenset({"prepull", "upgrade", "UpdateNodeActionStatus"})
OWN_SOURCES = frozenset({"cloudhub", "cloudStream", "devicecontroller", "edgecontroller", "synccontroller"})
"""A node that claims to be one of the cloud's modules is not listened to."""

MODULES = {"metaserver": "dynamiccontroller", "twin": "devicecontroller"}
"""Who treats what comes from a source of the node."""
CLOSED, GOING_AWAY, NO_MESSAGE, FORBIDDEN, LATER = 1000, 1001, 1007, 1008, 1013
"""Close codes of RFC 6455."""
UNKNOWN_SOURCE = "UnknownMessage"
NOT_STORED = "ObjectNotStored"
NOT_TREATED = "MessageNotTreated"


def nothing() -> None:
    """What a session calls while nobody listens to it."""


class Session:
    """One connection of one node."""

    __slots__ = ("bulk", "code", "ended", "is_over", "node", "outbox", "peer", "reason", "wake")

    def __init__(self, node: str, window: int, peer: Peer) -> None:
        self.node = node
        self.peer = peer
        self.outbox = Outbox(window)
        self.bulk: Bulk | None = None
        """What users send to the node, once one has."""
        self.wake: Callable[[], None] = nothing
        """Called when there may be something to send."""
        self.ended: Callable[[], None] = nothing
        """Called when the connection is to be closed."""
        self.is_over = False
        self.reason = ""
        self.code = CLOSED

    @property
    def has_more(self) -> bool:
        """Whether there is something to send or to wait for."""
        return bool(len(self.outbox) or self.bulk)

    @property
    def extended(self) -> bool:
        """Whether an EdgeCore of ours is there, which knows what KubeEdge's does not."""
        return self.outbox.window > 1

    def end(self, reason: str, code: int = CLOSED) -> None:
        """Have the connection closed; the first reason counts."""
        if not self.is_over:
            self.is_over = True
            self.reason, self.code = reason, code
            self.ended()


class CloudHub:
    """Sessions by node; the newest connection of a node is its session."""

    def __init__(
        self,
        tracker: SyncTracker,
        *,
        node_limit: int,
        kube_ca: bytes | None = None,
        complaints: Complaints | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self.node_limit = node_limit
        self.complaints = complaints or Complaints(clock=clock)
        self.handlers: dict[str, Handler] = {}
        """Message sources and who treats them; the source "" stands for all others."""
        self.authorizer: Authorizer | None = None
        """Asked about every request of a node, when there is one."""
        self.elsewhere: Callable[[str], bool] = lambda node: False
        """Whether another CloudCore has the node: then nothing is sent to it or recorded for it here."""
        self.on_connect: list[Callable[[str], None]] = []
        self.on_disconnect: list[Callable[[str], None]] = []
        """Called when a session of a node ends, also when a newer one has begun."""
        self.counts: Counter[str] = Counter()
        text = "How long the treatment of a node's request took, by module, without the wait for its turn."
        self.upstream_seconds = Histogram("edgelab_cloudhub_upstream_seconds", text, "module")
        text = "From the first sending of an object to the node's acknowledgement, by kind."
        self.ack_seconds = Histogram("edgelab_cloudhub_ack_seconds", text, "kind")
        self._tracker = tracker
        self._kube_ca = kube_ca
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._rivals = rivals.Rivals(clock)
        self._known: set[str] = set()
        tracker.ready = self._offer
        tracker.mine = self.connected

    @property
    def sessions(self) -> dict[str, Session]:
        """Sessions by node name. Read only."""
        return self._sessions

    def full(self, node: str) -> str | None:
        """A text when one node more than there is room for wants in."""
        if node in self._sessions or len(self._sessions) < self.node_limit:
            return None
        return f"modules.cloudHub.nodeLimit is {self.node_limit}, and so many nodes are connected"

    def end_revoked(self, why: Callable[[Peer], str | None]) -> None:
        """End the sessions of certificates that `why` has something against."""
        for session in list(self._sessions.values()):
            if text := why(session.peer):
                self.complaints.tell(session.node, REVOKED, text)
                session.end(text, FORBIDDEN)

    def attach(self, session: Session, *, resend: bool = False) -> None:
        """A connection begins; an older one of the same node ends.

        `resend`: the node says that it lost its store, so what it acknowledged is brought again.
        """
        older = self._sessions.get(session.node)
        self._sessions[session.node] = session
        self._known.add(session.node)
        if older is not None:
            older.end("another connection of the same node took over")
            self._replaced(session.node)
        self.counts["connections"] += 1
        self.complaints.over(session.node, REFUSALS)
        log.info("node %s connected%s", session.node, ", having lost its store" if resend else "")
        if resend:
            self._tracker.distrust(session.node)
        for listener in self.on_connect:
            try:
                listener(session.node)
            except Exception:  # SyncController brings what a defect here keeps back
                log.exception("not everything was prepared for node %s", session.node)

    def detach(self, session: Session) -> None:
        """A connection has ended; a newer one of the node is left alone."""
        self.counts["repeated"] += session.outbox.repeated
        self.counts["dropped"] += session.outbox.dropped
        if session.bulk is not None:
            session.bulk.close()
        for listener in self.on_disconnect:
            listener(session.node)
        if self._sessions.get(session.node) is session:
            del self._sessions[session.node]
            log.info("node %s disconnected: %s", session.node, session.reason or "closed")

    def connected(self, node: str) -> bool:
        """Whether the node has a session."""
        return node in self._sessions

    def extended(self, node: str) -> bool:
        """Whether an EdgeCore of ours is connected, which knows what KubeEdge's does not."""
        session = self._sessions.get(node)
        return session is not None and session.extended

    def known(self, node: str) -> bool:
        """Whether the node has had a session since this process started."""
        return node in self._known

    def holders(self, uid: str) -> list[str]:
        """The nodes that have the object, in whatever version."""
        return self._tracker.holders(uid)

    def disconnect(self, node: str, reason: str) -> None:
        """End the node's session."""
        self._known.discard(node)
        session = self._sessions.get(node)
        if session is not None:
            session.end(reason)

    def yield_to(self, node: str, replica: str) -> None:
        """End the node's session: another CloudCore has it."""
        session = self._sessions.get(node)
        if session is not None:
            self.counts["yielded"] += 1
            self._replaced(node)
            session.end(f"CloudCore {replica} has taken the node over", GOING_AWAY)

    def _replaced(self, node: str) -> None:
        if self._rivals.replaced(node):
            self.complaints.tell(node, rivals.REASON, rivals.TEXT)

    def send(self, node: str, message: Message) -> None:
        """Send once, without acknowledgement; lost when the node is not connected."""
        session = self._sessions.get(node)
        if session is None:
            self.counts["lost"] += 1
            return
        session.outbox.offer_plain(message)
        session.wake()

    def post(self, node: str, message: Message, size: int) -> Parcel | None:
        """Send what a user wrote, behind everything else; None when the node is not connected.

        Raises Full when too much of it waits already. `size`: bytes of the content.
        """
        session = self._sessions.get(node)
        if session is None:
            return None
        if session.bulk is None:
            session.bulk = Bulk()
        parcel = session.bulk.put(message, size)
        session.wake()
        return parcel

    def push(self, node: str, delivery: Delivery) -> None:
        """Bring an object to the node, now or when it is back, unless it has that version."""
        if delivery.is_response or delivery.is_delete:
            self._offer(node, delivery)
            return
        if node not in self._sessions and self.elsewhere(node):
            return
        recorded = self._tracker.version(node, delivery.uid)
        if recorded is not None and 0 < delivery.version <= recorded:
            return
        if not delivery.uid or not delivery.version:
            log.warning("%s has no uid or numeric version and is not sent", delivery.resource)
            return
        if self._tracker.ensure(node, delivery):
            self._offer(node, delivery)

    async def receive(self, session: Session, message: Message) -> None:
        """Treat a message of a node (everything but keepalives)."""
        route = message.route
        heard, delivery, seconds = session.outbox.receive(message, self._clock.monotonic())
        if heard is Heard.REQUEST:
            began = self._clock.monotonic()
            await self._treat(session, message)
            self.upstream_seconds.observe(self._module(route), self._clock.monotonic() - began)
        elif delivery is not None:
            if heard is Heard.STORED:
                self.ack_seconds.observe(delivery.kind, seconds)
            self._settled(session, message, delivery, stored=heard is Heard.STORED)

    async def _treat(self, session: Session, message: Message) -> None:
        """Answer a request, or hand it to whoever does."""
        route = message.route
        if _of_a_user(message):  # which is allowed always, in the original as well
            await self._hand_over("router", session.node, message)
        elif not await self._allowed(session.node, message):
            self.counts["forbidden"] += 1
        elif route.resource == "k8s/ca.crt":
            self._answer_ca(session.node, message)
        elif route.operation in TASK_OPERATIONS:
            await self._hand_over("taskmanager", session.node, message)
        elif route.resource and route.source not in OWN_SOURCES:
            # Go edges send one message without a route when they end.
            await self._hand_over(route.source, session.node, message)

    def _module(self, route: Route) -> str:
        """Who treats a request, as a label."""
        if route.operation in TASK_OPERATIONS:
            return "taskmanager"
        if route.group == "user" and route.operation in ("upload", ""):
            return "router"
        return MODULES.get(route.source, "edgecontroller")

    async def _allowed(self, node: str, message: Message) -> bool:
        """Whether the node may send this; if not, it is answered."""
        error = None if self.authorizer is None else await self.authorizer.refusal(node, message)
        if error is None:
            return True
        reply = refused(message, error)
        if reply is not None:
            self.send(node, reply)
        return False

    def failed(self, session: Session, message: Message, error: Exception) -> bool:
        """A defect met a message; whether it is one that was not told of yet."""
        route = message.route
        text = f"{route.operation} of {route.resource} could not be treated: {error!r}"
        return self.complaints.tell(session.node, NOT_TREATED, text)

    async def _hand_over(self, source: str, node: str, message: Message) -> None:
        special = source in ("router", "taskmanager", "metaserver", "twin")
        handler = self.handlers.get(source) or (None if special else self.handlers.get(""))
        if handler is not None:
            acting = nullcontext() if special or self.authorizer is None else self.authorizer.acting(node)
            with acting:
                await handler(node, message)
        else:
            text = f"it sends messages for {source!r}, whose module does not run here; they are dropped"
            self.complaints.tell(node, UNKNOWN_SOURCE, text)

    def _offer(self, node: str, delivery: Delivery) -> None:
        session = self._sessions.get(node)
        if session is not None and session.outbox.offer(delivery):
            session.wake()

    def _settled(self, session: Session, message: Message, delivery: Delivery, *, stored: bool) -> None:
        if stored:
            self.counts["acknowledged"] += 1
            self._tracker.acknowledged(session.node, delivery)
        else:
            self.counts["refused"] += 1
            reason = bytes(message.content)[:200]
            self.complaints.tell(
                session.node, NOT_STORED, f"it could not store {delivery.resource}: {reason!r}"
            )
        session.wake()

    def _answer_ca(self, node: str, message: Message) -> None:
        content = (self._kube_ca or b"").decode()
        reply = wire.new(
            source="cloudhub",
            group="resource",
            operation=RESPONSE,
            resource=message.route.resource,
            content=content,
            parent_id=message.id,
        )
        self.send(node, reply)


def _of_a_user(message: Message) -> bool:
    """Whether it is the router's. Go edges tell of failed calls to services without an operation."""
    route = message.route
    if route.group != "user":
        return False
    return route.operation == "upload" or (not route.operation and bool(message.parent_id))
