"""What nodes send: from MQTT to wherever the rule leads, from programs to a REST target and back.

Receives: uploads of nodes. Sends: a POST to a target, or a message to another node. Stores: a queue for each
rule, so that messages of one topic arrive in their order while other topics go on.
A target that is slow: its queue fills (`MOST` messages, `LARGEST` bytes); then the node that sends is not
read until there is room, which holds back its broker's clients, and nothing is lost. But a node that is
not read cannot renew its lease either: a queue that has no room for `PATIENCE` seconds is that of a target
that does not work, and until half of it is gone, further messages count as failed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import deque

from edgelab.cloudcore.router.access import Pace
from edgelab.cloudcore.router.counters import Counters
from edgelab.cloudcore.router.deliveries import Call, Hub
from edgelab.cloudcore.router.downward import Downward
from edgelab.cloudcore.router.errors import Undeliverable
from edgelab.cloudcore.router.measures import KEPT, Measures
from edgelab.cloudcore.router.outward import Outward
from edgelab.cloudcore.router.rules import EVENTBUS, REST, Rule
from edgelab.cloudcore.router.table import RuleTable
from edgelab.daemon.tasks import Supervisor
from edgelab.kube.informer import Key
from edgelab.protocol import message as wire
from edgelab.protocol.content.users import BASE64
from edgelab.protocol.message import Message

MOST, LARGEST = 1024, 16 << 20
LARGEST_OF_ALL = 128 << 20
"""Messages and bytes that wait for one rule, bytes for all."""
PATIENCE = 5.0
CALLS = 64
"""Requests of programs for one REST target under way at a time."""


class Lane:
    """The queue of one rule."""

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.size = 0
        self.is_stalled = False
        self.is_worked_on = False
        self.room = asyncio.Event()
        self.pace = Pace()

    def takes(self, size: int) -> bool:
        """Whether there is room for a message of so many bytes."""
        return not self.waiting or (len(self.waiting) < MOST and self.size + size <= LARGEST)


class Upward:
    """Hands on, rule by rule. `timeout`: seconds that one message may take."""

    def __init__(
        self,
        hub: Hub,
        table: RuleTable,
        counters: Counters,
        downward: Downward,
        outward: Outward,
        *,
        measures: Measures,
        timeout: float,
    ) -> None:
        self._hub = hub
        self._table = table
        self._counters = counters
        self._downward = downward
        self._outward = outward
        self._measures = measures
        self._timeout = timeout
        self._lanes: dict[Key, Lane] = {}
        self._size = 0
        self._calls: dict[Key, int] = {}
        self._owner = Supervisor("router/upward")

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes.values())

    async def put(self, rule: Rule, message: Message) -> None:
        """Queue what a node's MQTT clients published; waits while there is no room."""
        payload = _payload(message)
        lane = self._lanes.setdefault(rule.key, Lane())
        if not await self._room(lane, len(payload)):
            self._counters.failure(rule, f"{rule.target}: does not keep up, and its queue is full")
            return
        lane.waiting.append(payload)
        lane.size += len(payload)
        self._size += len(payload)
        if not lane.is_worked_on:
            lane.is_worked_on = True
            self._owner.spawn(self._work(rule.key, lane), "/".join(rule.key))

    def request(self, rule: Rule, node: str, message: Message) -> None:
        """Pass on a request of a program at the edge, and what the target answers."""
        if self._calls.get(rule.key, 0) >= CALLS:
            self._refuse(rule, node, message, f"{rule.target}: {CALLS} requests are under way already")
            return
        self._calls[rule.key] = self._calls.get(rule.key, 0) + 1
        self._owner.spawn(self._request(rule, node, message), "/".join(rule.key))

    def forget(self, rule: Rule) -> None:
        """The rule is gone; what waits for it is dropped by whoever works on it."""
        lane = self._lanes.get(rule.key)
        if lane is not None and not lane.is_worked_on:
            del self._lanes[rule.key]

    async def close(self) -> None:
        """End all work; what waits is lost."""
        await self._owner.close()

    async def _room(self, lane: Lane, size: int) -> bool:
        """Wait for room; False when there is none for too long."""
        if self._takes(lane, size):
            return True
        if lane.is_stalled:
            return False
        try:
            async with asyncio.timeout(PATIENCE):
                while not self._takes(lane, size):
                    lane.room.clear()
                    await lane.room.wait()
        except TimeoutError:
            lane.is_stalled = True
            return False
        return True

    def _takes(self, lane: Lane, size: int) -> bool:
        return lane.takes(size) and (not lane.waiting or self._size + size <= LARGEST_OF_ALL)

    async def _work(self, key: Key, lane: Lane) -> None:
        """Send what waits for one rule; ends when nothing does."""
        try:
            while lane.waiting:
                payload = lane.waiting[0]
                try:
                    if (rule := self._table.get(key)) is not None:
                        if (delay := lane.pace.delay(rule.options.rate)) > 0:
                            await asyncio.sleep(delay)
                        await self._send(rule, payload)
                finally:
                    lane.waiting.popleft()
                    lane.size -= len(payload)
                    self._size -= len(payload)
                lane.room.set()
                lane.is_stalled = lane.is_stalled and (
                    len(lane.waiting) > MOST // 2 or lane.size > LARGEST // 2
                )
        finally:
            lane.is_worked_on = False

    async def _send(self, rule: Rule, payload: bytes) -> None:
        began = asyncio.get_running_loop().time()
        deadline = began + self._timeout
        try:
            if rule.target_kind == REST:
                await self._outward.post(rule.target, payload, deadline, verify=rule.options.verify)
            elif rule.target_kind == EVENTBUS:
                if not await self._downward.publish(rule, rule.target_node, rule.target, payload, deadline):
                    self._measures.count(rule, KEPT)
                    return  # and it counts again when the node has it
            else:
                await self._call(rule, payload, deadline)
        except Undeliverable as error:
            self._counters.failure(rule, str(error))
        else:
            self._counters.success(rule)
        finally:
            self._measures.took(rule, asyncio.get_running_loop().time() - began)

    async def _call(self, rule: Rule, payload: bytes, deadline: float) -> None:
        call = Call("POST", rule.target, {"Content-Length": [str(len(payload))]}, payload)
        answer = await self._downward.call(rule.target_node, call, deadline)
        if not 200 <= answer.status <= 299:
            raise Undeliverable(answer.status, f"{rule.target}: status {answer.status}")

    async def _request(self, rule: Rule, node: str, message: Message) -> None:
        began = asyncio.get_running_loop().time()
        deadline = began + self._timeout
        verify = rule.options.verify
        try:
            body = _envelope(message)
            reply = await self._outward.post(
                rule.target, body, deadline, verify=verify, content_type="application/json"
            )
        except Undeliverable as error:
            self._refuse(rule, node, message, str(error))
        else:
            text = reply.body.decode("utf-8", "replace")
            self._hub.send(node, wire.reply(message, text, source="servicebus"))
            self._counters.success(rule)
        finally:
            self._measures.took(rule, asyncio.get_running_loop().time() - began)
            self._calls[rule.key] -= 1
            if not self._calls[rule.key]:
                del self._calls[rule.key]

    def _refuse(self, rule: Rule, node: str, message: Message, why: str) -> None:
        """KubeEdge's EdgeCore takes any reply for a success: it gets none, as from the original."""
        self._counters.failure(rule, why)
        if self._hub.extended(node):
            self._hub.send(node, wire.error(message, why, source="servicebus"))


def _payload(message: Message) -> bytes:
    """What was published."""
    return _from_base64(message.value()) if message.header.type == BASE64 else message.data()


def _envelope(message: Message) -> bytes:
    """What the program posted. Go sends it as base64 text, and Go's router passes on that text."""
    value = message.value()
    return _from_base64(value) if isinstance(value, str) else bytes(message.content)


def _from_base64(value: object) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        return str(value).encode()
