"""EventBus on a real store with the internal broker; a program on the node stands on the other side."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.edgecore.cloud_peer import Pki
from tests.edgecore.eventbus.raw_client import RawClient, raw_client

from edgelab.daemon.clock import SYSTEM, SystemClock
from edgelab.daemon.errors import Fatal
from edgelab.edgecore.eventbus import listeners
from edgelab.edgecore.eventbus.bus import EventBus
from edgelab.edgecore.interfaces import Offline
from edgelab.edgecore.store import BUS_TABLES, META_TABLES, Store
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.settings import edgecore as settings

SECONDS = 20


class FakeHub:
    """Keeps what goes up; an offline one refuses it."""

    def __init__(self) -> None:
        self.connected = True
        self.sent: asyncio.Queue[Message] = asyncio.Queue()

    async def send(self, message: Message) -> None:
        if not self.connected:
            raise Offline("no cloud")
        await self.sent.put(message)

    async def request(self, message: Message, deadline: float) -> Message:
        raise Offline("no cloud")

    def on_connection(self, listener: Callable[[bool], None]) -> None:
        pass


class QuickClock(SystemClock):
    """Does not wait long before it tries again."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.02))


class Node:
    """EventBus with what it talks to."""

    def __init__(self, bus: EventBus, hub: FakeHub, store: Store) -> None:
        self.bus = bus
        self.hub = hub
        self.store = store
        self.to_twin: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def uploaded(self) -> Message:
        async with asyncio.timeout(SECONDS):
            return await self.hub.sent.get()

    async def ask(self, operation: str, resource: str, content: object = "") -> None:
        """What the cloud's router sends."""
        request = wire.new(
            source="router_eventbus", group="user", operation=operation, resource=resource, content=content
        )
        await self.bus.receive(request)


@contextlib.asynccontextmanager
async def node(
    directory: Path, port: int, extra: settings.Mqtt | None = None, **values: object
) -> AsyncIterator[Node]:
    values.setdefault("mqttServerInternal", f"tcp://127.0.0.1:{port}")
    config = settings.EventBus(mqttMode=0, **values)  # type: ignore[arg-type]
    hub = FakeHub()
    async with Store(directory / "e.db", META_TABLES + BUS_TABLES) as store:
        made: list[Node] = []

        async def to_twin(topic: str, payload: bytes) -> None:
            await made[0].to_twin.put((topic, payload))

        bus = EventBus(
            config, extra or settings.Mqtt(), store, hub, QuickClock(), node="edge1", on_device=to_twin
        )
        made.append(Node(bus, hub, store))
        running = asyncio.create_task(bus.run())
        try:
            yield made[0]
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


@pytest.fixture
def port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def client(port: int, name: str = "program") -> AsyncIterator[RawClient]:
    """A client, as soon as the broker listens."""
    await listening(port)
    async with raw_client(port, name) as made:
        yield made


async def listening(port: int) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.01)


ROUTES = {
    "$hw/events/device/default/thermo/twin/update": "twin",
    "$hw/events/device/default/thermo/twin/get": "twin",
    "$hw/events/device/default/thermo/twin/cloud_updated": "twin",
    "$hw/events/device/default/thermo/state/update": "twin",
    "$hw/events/device/thermo/twin/update": "twin",
    "$hw/events/node/edge1/membership/get": "twin",
    "$hw/events/upload/anything/below": "cloud",
    "SYS/dis/upload_records": "cloud",
    "default/user/alarm": "cloud",
    "$ke/events/device/thermo/data/update": "nobody",
    "$hw/events/device/default/thermo/twin/update/result": "nobody",
    "$hw/events/connected/thermo": "nobody",
    "sensors/thermo": "nobody",
}


async def test_kubeedges_topics_go_to_devicetwin_or_to_the_cloud_and_others_to_nobody(
    tmp_path: Path, port: int
) -> None:
    async with node(tmp_path, port) as here, client(port) as program:
        for topic in ROUTES:
            program.publish(topic, b"x")
        await program.in_step()
        for topic in [topic for topic, goal in ROUTES.items() if goal == "cloud"]:
            message = await here.uploaded()
            assert (message.route.source, message.route.group, message.route.operation) == (
                "bus",
                "user",
                "upload",
            )
            assert (message.route.resource, message.value()) == (topic, "x")
        for topic in [topic for topic, goal in ROUTES.items() if goal == "twin"]:
            assert await here.to_twin.get() == (topic, b"x")
        assert here.to_twin.empty()
        assert here.hub.sent.empty()


async def test_a_topic_of_the_router_is_heard_also_after_a_restart_and_until_it_is_taken_back(
    tmp_path: Path, port: int
) -> None:
    async with node(tmp_path, port) as here:
        await here.ask("subscribe", "default/sound")
        await here.ask("subscribe", "a/#/b")  # not allowed: a warning, and nothing stored
        await listening(port)  # a server that is ended while it begins leaves its socket behind
    async with node(tmp_path, port) as here, client(port) as program:
        program.publish("default/sound", b"ping")
        assert (await here.uploaded()).route.resource == "default/sound"
        await here.ask("unsubscribe", "default/sound")
        await here.ask("unsubscribe", "+/user/#")  # the router may not take what is EventBus's own
        program.publish("default/sound", b"ping")
        program.publish("default/user/x", b"pong")
        assert (await here.uploaded()).route.resource == "default/user/x"
        assert here.store.read("SELECT topic FROM sub_topics") == []


async def test_the_routers_messages_reach_programs_with_the_configured_qos_and_stay_if_so_configured(
    tmp_path: Path, port: int
) -> None:
    async with node(tmp_path, port, mqttQOS=1, mqttRetain=True) as here, client(port) as program:
        await program.subscribe("#", "$hw/#", qos=2)
        await here.ask("publish", "a/b", "text")
        await here.ask("message", "", {"message": {"topic": "c", "x": 1}})
        await here.ask("get_result", "auth_info", {"ok": True})
        await here.ask("publish", "a/+", "refused")
        await here.ask("dance", "a")
        first, second, third = [await program.message() for _ in range(3)]
        assert (first.topic, first.payload, first.qos) == ("a/b", b"text", 1)
        assert (second.topic, json.loads(second.payload)) == ("c", {"topic": "c", "x": 1})
        assert third.topic == "$hw/events/node/edge1/authInfo/get/result"
        assert json.loads(third.payload) == {"ok": True}
        await program.subscribe("a/b")
        assert (await program.message()).retain


async def test_what_is_no_utf8_still_reaches_the_cloud_as_text(tmp_path: Path, port: int) -> None:
    async with node(tmp_path, port) as here, client(port) as program:
        program.publish("default/user/x", b"\xff\x00ok")
        assert (await here.uploaded()).value() == "\ufffd\0ok"


async def test_bytes_travel_as_they_are_where_the_router_says_that_it_takes_them(
    tmp_path: Path, port: int
) -> None:
    async with node(tmp_path, port) as here, client(port) as program:
        await here.ask("subscribe", "default/bin", {"binary": True})
        program.publish("default/bin", b"\xff\x00ok")
        message = await here.uploaded()
        assert (message.header.type, message.value()) == ("base64", "/wBvaw==")
        program.publish("default/bin", b"text")
        message = await here.uploaded()
        assert (message.header.type, message.value()) == ("", "text")
        await program.subscribe("down")
        request = wire.new(
            source="router_eventbus", group="user", operation="publish", resource="down", content="/wBvaw=="
        )
        request.header.type = "base64"
        await here.bus.receive(request)
        assert (await program.message()).payload == b"\xff\x00ok"


async def test_uploads_without_the_cloud_are_counted_and_dropped(
    tmp_path: Path, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with node(tmp_path, port) as here, client(port) as program:
        here.hub.connected = False
        program.publish("default/user/x", b"lost")
        program.publish("$hw/events/node/edge1/membership/get", b"{}")
        async with asyncio.timeout(SECONDS):
            await here.to_twin.get()
        here.hub.connected = True
        program.publish("default/user/x", b"kept")
        assert (await here.uploaded()).value() == "kept"
    assert "a message for the cloud is lost" in caplog.text


async def test_a_port_that_is_taken_is_named_with_its_holder_and_used_once_it_is_free(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with node(tmp_path, port) as here:
            async with asyncio.timeout(SECONDS):
                while "is used by" not in caplog.text:
                    await asyncio.sleep(0.01)
            name = Path("/proc/self/comm").read_text().strip()
            assert f"MQTT port {port} is used by {name} (pid {os.getpid()}): " in caplog.text
            assert "set modules.eventBus.mqttMode to 2" in caplog.text
            taken.close()
            async with client(port) as program:
                program.publish("default/user/x", b"x")
                await here.uploaded()


def test_the_holder_of_a_port_is_told_as_far_as_it_can_be_seen(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        sock.listen()
        assert listeners.holder(sock.getsockname()[1]).endswith(f"(pid {os.getpid()})")
    assert listeners.holder(1, tmp_path) == "another process"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"mqttMode": 0, "mqttServerInternal": "127.0.0.1:1884"}, "mqttServerInternal"),
        ({"mqttMode": 0, "mqttServerInternal": "tcp://127.0.0.1:99999"}, "mqttServerInternal"),
        ({"mqttMode": 1, "mqttServerExternal": "http://broker"}, "mqttServerExternal"),
        ({"mqttMode": 0, "mqttServerInternal": "ssl://127.0.0.1:1"}, "eventBusTLS: a file cannot be used"),
    ],
)
async def test_settings_that_cannot_work_end_the_start_with_their_name(
    tmp_path: Path, values: dict[str, object], complaint: str
) -> None:
    tls = settings.EventBusTLS(tlsMqttCertFile=str(tmp_path / "missing"))
    config = settings.EventBus(eventBusTLS=tls, **values)  # type: ignore[arg-type]
    async with Store(tmp_path / "e.db", META_TABLES + BUS_TABLES) as store:
        with pytest.raises(Fatal, match=complaint):
            EventBus(config, settings.Mqtt(), store, FakeHub(), SYSTEM, node="edge1", on_device=None)


@pytest.mark.parametrize("checked", [False, True], ids=["certificate of the broker", "of both"])
async def test_the_internal_broker_speaks_tls_and_asks_for_a_certificate_when_it_is_to(
    tmp_path: Path, port: int, checked: bool
) -> None:
    pki = Pki.create(tmp_path)
    tls = settings.EventBusTLS(
        enable=checked,
        tlsMqttCAFile=str(tmp_path / "rootCA.crt"),
        tlsMqttCertFile=str(tmp_path / "cloud.crt"),
        tlsMqttPrivateKeyFile=str(tmp_path / "cloud.key"),
    )
    server = f"ssl://127.0.0.1:{port}"
    trusting = ssl.create_default_context(cafile=tmp_path / "rootCA.crt")
    trusting.check_hostname = False
    async with node(tmp_path, port, mqttServerInternal=server, eventBusTLS=tls) as here:
        await listening(port)
        assert await greeting(port, trusting) == (b"" if checked else b"\x20\x02\0\0")
        trusting.load_cert_chain(pki.directory / "server.crt", pki.directory / "server.key")
        assert await greeting(port, trusting) == b"\x20\x02\0\0"
        Pki.create(tmp_path)  # another CA, and certificates of it
        renewed = ssl.create_default_context(cafile=tmp_path / "rootCA.crt")
        renewed.check_hostname = False
        renewed.load_cert_chain(pki.directory / "server.crt", pki.directory / "server.key")
        async with asyncio.timeout(SECONDS):
            while await greeting(port, renewed) == b"":
                await asyncio.sleep(0.05)
        assert here.hub.sent.empty()


async def greeting(port: int, tls: ssl.SSLContext) -> bytes:
    """What the broker answers to CONNECT; nothing when it hangs up."""
    async with asyncio.timeout(SECONDS):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
            writer.write(bytes.fromhex("100d 0004 4d515454 04 02 003c 0001 61"))
            answer = await reader.read(4)
        except OSError:
            return b""
        writer.close()
        return answer
