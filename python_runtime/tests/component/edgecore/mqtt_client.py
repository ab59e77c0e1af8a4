"""A program on the node: paho's own client with its own thread, independent of EventBus's use of paho."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion


class MqttClient:
    """Publishes, and keeps everything it receives."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.received: list[tuple[str, Any, int, bool]] = []
        self.changed = asyncio.Event()

    def publish(self, topic: str, payload: Any, qos: int = 0) -> None:
        body = payload if isinstance(payload, str | bytes) else json.dumps(payload)
        self.client.publish(topic, body, qos=qos)

    def update(self, device: str, event: str = "e", **values: str) -> None:
        twin = {name: {"actual": {"value": value}} for name, value in values.items()}
        body = {"event_id": event, "timestamp": 0, "twin": twin}
        self.publish(f"$hw/events/device/{device}/twin/update", body, qos=1)

    def keep(self, message: tuple[str, Any, int, bool]) -> None:
        self.received.append(message)
        self.changed.set()

    async def expect(
        self, topic: str, wanted: Callable[[Any], bool] = lambda _: True, seconds: float = 5
    ) -> Any:
        """Remove and return the first payload on `topic` that `wanted` accepts."""
        async with asyncio.timeout(seconds):
            while True:
                self.changed.clear()
                for number, message in enumerate(self.received):
                    if message[0] == topic and wanted(message[1]):
                        del self.received[number]
                        return message[1]
                await self.changed.wait()


@contextlib.asynccontextmanager
async def mqtt_client(port: int, **options: Any) -> AsyncIterator[MqttClient]:
    client = Client(CallbackAPIVersion.VERSION2)
    if options:
        client.username_pw_set(**options)
    loop = asyncio.get_running_loop()
    subscribed = asyncio.Event()
    own = MqttClient(client)

    def on_message(_client: Client, _data: Any, message: MQTTMessage) -> None:
        with contextlib.suppress(ValueError, RecursionError):  # the test itself may have published nonsense
            payload = json.loads(message.payload)
            loop.call_soon_threadsafe(own.keep, (message.topic, payload, message.qos, message.retain))

    def on_connect(client: Client, *_: Any) -> None:
        sock = client.socket()
        assert isinstance(sock, socket.socket)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.subscribe([("$hw/events/#", 1), ("#", 1)])

    client.on_message = on_message
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        async with asyncio.timeout(30):
            await subscribed.wait()
        yield own
    finally:
        client.disconnect()
        client.loop_stop()
