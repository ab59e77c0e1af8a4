"""`pushMethod.mqtt`: a line of text for each sample (KubeEdge `_template/mapper/data/publish/mqtt`).

KubeEdge connects anew for each sample; here one connection to a broker stays, for all its topics.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Unreachable
from edgelab.mappers.sdk.mqtt import Broker, Offline
from edgelab.mappers.sdk.push.credentials import plain
from edgelab.mappers.sdk.push.sample import Sample
from edgelab.mappers.sdk.push.target import Item, Target
from edgelab.objects.pushmethods import Mqtt

GREETING = 5.0
"""Seconds that a call waits for a connection which is being made."""


class MqttTarget(Target):
    """One broker. A sample has arrived when the broker says so, or with QoS 0 when it is on its way."""

    batch = 20  # paho's window

    def __init__(self, method: Mqtt, clock: Clock) -> None:
        host = f"[{method.host}]" if ":" in method.host else method.host
        user, password = plain(method.login)
        name = f"edgelab-push-{secrets.token_hex(4)}"
        self._broker = Broker(
            f"tcp://{host}:{method.port}", name, username=user, password=password, clock=clock
        )
        self._progress = asyncio.Event()
        self._broker.on_published(self._progress.set)
        self._task: asyncio.Task[None] | None = None
        self._sent: dict[Item, Any] = {}
        """What paho has: it sends that again by itself after a new connection."""

    async def send(self, items: Sequence[Item]) -> None:
        """Publish, and wait until the broker has all."""
        await self._connect()
        self._sent = {item: sent for item, sent in self._sent.items() if item in items}
        try:
            for item in items:
                if item not in self._sent:
                    self._sent[item] = self._publish(item)
            while not all(self._is_done(item) for item in items):
                self._progress.clear()
                await self._progress.wait()
        except Offline as error:
            raise Unreachable(str(error)) from None
        self._sent.clear()

    async def _connect(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._broker.run(), name="mapper/push/mqtt")
        try:
            async with asyncio.timeout(GREETING):
                await self._broker.wait_connected()
        except TimeoutError:
            raise Unreachable("no connection") from None

    def _publish(self, item: Item) -> Any:
        method = item.method
        assert isinstance(method, Mqtt)
        payload = text(method.topic, item.sample)
        return self._broker.publish(method.topic, payload, retain=method.retained, qos=method.qos)

    def _is_done(self, item: Item) -> bool:
        """Raises Offline for a message of QoS 0 that went down with its connection."""
        try:
            return bool(self._sent[item].is_published())
        except (RuntimeError, ValueError):
            del self._sent[item]
            raise Offline("the connection ended") from None

    async def close(self) -> None:
        """Hang up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None


def text(topic: str, sample: Sample) -> bytes:
    """`time is <YYYY-MM-DD HH:MM:SS>  <topic>: <value>`."""
    return f"time is {sample.local_time()}  {topic}: {sample.value}".encode()
