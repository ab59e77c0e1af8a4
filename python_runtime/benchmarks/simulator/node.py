"""What one simulated node says: it registers, keeps its lease, acknowledges everything. No I/O.

The messages are those of KubeEdge's EdgeCore (docs/reference/protocol.md): Node object, status, a lease
that is read and then written every ten seconds, pods reported Running, twins of the devices it is given.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.protocol.session.edge import EdgeSession, Received, acknowledgement
from edgelab.protocol.session.sending import Bucket

LEASES = "kube-node-lease"
NEVER = float("inf")
RETRY = 60.0
"""Seconds after which a request is repeated that was refused or not answered: so long EdgeCore waits for an
answer (KubeEdge `edge/pkg/metamanager/client`). Who asks sooner adds to what a busy cloud has to do."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the nodes of a fleet do; times in seconds."""

    registers: bool = True
    """Whether a node has a Node object and a lease; without, it only holds its session."""
    lease: float = 10.0
    status: float = 300.0
    twins: float = 0.0
    """Between two reports of each device; 0 for none."""
    runs_pods: bool = False
    """Whether pods are reported Running."""
    heartbeat: float = 15.0


class SimulatedNode:
    """One node, over all its connections."""

    __slots__ = (
        "_answers",
        "_behaviour",
        "_counts",
        "_devices",
        "_lease",
        "_lease_at",
        "_register_at",
        "_session",
        "_status_at",
        "_twins_at",
        "held",
        "name",
        "registered",
    )

    def __init__(self, name: str, behaviour: Behaviour, counts: Counter[str]) -> None:
        self.name = name
        self.held: dict[str, str] = {}
        """The resourceVersion of every object that was acknowledged, by resource."""
        self.registered = False
        """Whether the cloud has said, on this connection, that the Node is there."""
        self._behaviour = behaviour
        self._counts = counts
        self._devices: set[str] = set()
        self._lease: dict[str, Any] | None = None
        self._register_at = self._lease_at = self._status_at = self._twins_at = NEVER
        self._session: EdgeSession | None = None
        self._answers: dict[str, Callable[[Message, float], None]] = {}

    def connected(self, now: float) -> None:
        """A connection begins; the first message is a keepalive."""
        self._session = EdgeSession(Bucket(0, 1, now), now, self._behaviour.heartbeat)
        self._answers = {}
        self.registered = False
        self._twins_at = now + random.uniform(0, self._behaviour.twins) if self._behaviour.twins else NEVER
        self._lease_at = self._status_at = NEVER
        self._register_at = now if self._behaviour.registers else NEVER

    def disconnected(self) -> None:
        """The connection is gone, and with it who was asked."""
        self._session = None
        self.registered = False

    def receive(self, message: Message, now: float) -> None:
        """Take a message of the cloud."""
        if self._session is None:
            return
        match self._session.receive(message):
            case Received.ANSWER:
                self._answers.pop(message.parent_id)(message, now)
            case Received.PUSH:
                self._take(message)
            case Received.STRAY:
                self._counts["stray"] += 1

    def next(self, now: float) -> Message | None:
        """The message that is to be sent now."""
        if self._session is None:
            return None
        if now >= self._register_at:
            self._register_at = now + RETRY
            self._ask(f"null/node/{self.name}", "insert", self._node(), self._on_node)
        if now >= self._lease_at:
            self._lease_at = now + RETRY
            self._ask(f"{LEASES}/lease/{self.name}", "query", None, self._on_lease)
        if now >= self._status_at:
            self._report()
            self._status_at = now + self._behaviour.status
        if now >= self._twins_at:
            self._twins_at = now + self._behaviour.twins
            for device in self._devices:
                self._twin(device)
        return self._session.next(now)

    def next_due(self, now: float) -> float:
        """When `next` gives a message again, if nothing else happens."""
        if self._session is None:
            return NEVER
        own = (self._register_at, self._lease_at, self._status_at, self._twins_at)
        return min(self._session.next_due(now), *own)

    def _ask(
        self, resource: str, operation: str, content: Any, then: Callable[[Message, float], None]
    ) -> None:
        assert self._session is not None
        request = wire.new(
            source="edged", group="meta", operation=operation, resource=resource, content=content
        )
        self._answers[request.id] = then
        self._session.expect(request.id)
        self._session.send(request)

    def _take(self, message: Message) -> None:
        """Acknowledge what is to be stored, and do what a node does with it."""
        assert self._session is not None
        route = message.route
        if message.header.resourceversion or route.operation == "delete":
            self._session.send(acknowledgement(message))
            self._counts["acknowledged"] += 1
            self.held[route.resource] = message.header.resourceversion
        kind, name = route.resource.split("/")[1:3] if route.resource.count("/") == 2 else ("", "")
        if route.operation == "delete":
            self.held.pop(route.resource, None)
            self._devices.discard(name)
        elif kind == "pod" and self._behaviour.runs_pods:
            self._run_pod(message)
        elif kind == "device":
            self._devices.add(name)

    def _run_pod(self, message: Message) -> None:
        pod = message.object()
        metadata = pod["metadata"]
        where = f"{metadata['namespace']}/{{}}/{metadata['name']}"
        if metadata.get("deletionTimestamp"):
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
            self._ask(where.format("pod"), "delete", options, self._on_answer)
        elif (pod.get("status") or {}).get("phase") != "Running":
            ready = {"type": "Ready", "status": "True"}
            status = {"phase": "Running", "podIP": "10.1.1.1", "conditions": [ready]}
            patch = {"metadata": {"uid": metadata["uid"]}, "status": status}
            self._ask(where.format("podpatch"), "patch", _text(patch), self._on_answer)

    def _on_answer(self, message: Message, _now: float) -> None:
        if b'"Err":null' not in bytes(message.content) and message.value() != "OK":
            self._counts["refused"] += 1

    def _on_node(self, message: Message, now: float) -> None:
        """Registered, now or long ago; then the status and the lease."""
        refused = message.object()["Err"]
        if refused is not None and refused["ErrStatus"]["reason"] != "AlreadyExists":
            self._counts["refused"] += 1
            return
        self._register_at = NEVER
        self.registered = True
        self._counts["registered"] += 1
        self._status_at = self._lease_at = now

    def _report(self) -> None:
        now = _micro()[:19] + "Z"
        ready = {"type": "Ready", "status": "True", "reason": "EdgeReady", "lastHeartbeatTime": now}
        patch = {"status": {"conditions": [{**ready, "message": "edge is posting ready status"}]}}
        self._ask(f"null/nodepatch/{self.name}", "patch", _text(patch), self._on_answer)

    def _on_lease(self, message: Message, now: float) -> None:
        """The answer to both halves of a renewal."""
        answer = message.object()
        if answer["Err"] is None:
            self._lease = answer["Object"]
        operation = "update" if answer["Err"] is None else "insert"
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": _micro()}
        known = (self._lease or {}).get("metadata") if operation == "update" else None
        body = {"metadata": known or {"name": self.name, "namespace": LEASES}, "spec": spec}
        self._ask(f"{LEASES}/lease/{self.name}", operation, body, self._on_renewed)
        self._lease_at = now + self._behaviour.lease * random.uniform(0.9, 1.1)

    def _on_renewed(self, message: Message, now: float) -> None:
        self._on_answer(message, now)
        self._counts["leases"] += 1

    def _twin(self, device: str) -> None:
        assert self._session is not None
        moment = wire.now_ms()
        actual = {"value": f"{random.uniform(15, 30):.2f}", "metadata": {"timestamp": moment}}
        twin = {"temperature": {"actual": actual, "metadata": {"type": "float"}}}
        content = {"event_id": "", "timestamp": moment, "twin": twin}
        resource = f"device/default/{device}/twin/edge_updated"
        report = wire.new(
            source="twin", group="resource", operation="update", resource=resource, content=content
        )
        self._counts["twins" if self._session.send(report) else "twins held back"] += 1

    def _node(self) -> dict[str, Any]:
        labels = {"node-role.kubernetes.io/edge": "", "kubernetes.io/hostname": self.name}
        offer = {"cpu": "4", "memory": "4Gi", "pods": "110", "ephemeral-storage": "32Gi"}
        info = {"kernelVersion": "6.1.0", "osImage": "Debian GNU/Linux 12", "architecture": "arm64"}
        status = {"capacity": offer, "allocatable": offer, "nodeInfo": info}
        return {"metadata": {"name": self.name, "labels": labels}, "spec": {}, "status": status}


def _micro() -> str:
    return f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _text(content: Any) -> str:
    """JSON text, as patches travel."""
    return msgspec.json.encode(content).decode()
