"""Everything as processes: EdgeSite, CloudCore with its router, EdgeCore with ServiceBus, Mosquitto; curl
is on one side, paho's MQTT client on the other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from tests.cloudcore.router.crossing import Target, target
from tests.component.cloudcore.site import cloudcore, edgesite
from tests.component.cloudcore.test_chain import NODE, Place, becomes
from tests.edgecore.cloud_peer import configuration
from tests.edgecore.processes import Process, edgecore, free_port, mosquitto

from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.interface import Obj
from edgelab.kube.resources import NODES, RULE_ENDPOINTS, RULES, SECRETS

SECONDS = 60


@dataclass
class Lab:
    """What a test talks to."""

    place: Place
    api: HttpClient
    edge: Process
    config: Path
    broker: int
    port: int
    bus: int
    target: Target
    service: Target
    heard: list[tuple[str, str]] = field(default_factory=list)
    """Topics and payloads that a client of the broker got."""
    mqtt: Client = field(default_factory=lambda: Client(CallbackAPIVersion.VERSION2))

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def curl(self, *arguments: str, data: bytes = b"") -> str:
        """What curl prints; `data` is its standard input."""
        return await output("curl", "-sS", "--max-time", "60", *arguments, data=data)

    async def post(self, path: str, data: bytes = b"") -> tuple[int, str]:
        """Status and body of a POST."""
        text = await self.curl("-w", "\n%{http_code}", "--data-binary", "@-", f"{self.rest}{path}", data=data)
        body, _, status = text.rpartition("\n")
        return int(status), body

    def publish(self, topic: str, payload: str) -> None:
        self.mqtt.publish(topic, payload, qos=1)

    async def rule(
        self,
        name: str,
        source: Obj,
        to: Obj,
        kinds: tuple[str, str],
        annotations: dict[str, str] | None = None,
    ) -> None:
        spec = {"source": kinds[0], "sourceResource": source, "target": kinds[1], "targetResource": to}
        metadata = {"name": name, "annotations": annotations or {}}
        await self.api.create(RULES, {"metadata": metadata, "spec": spec}, "default")

    async def status(self, name: str, success: int, fail: int) -> Obj:
        """Wait until the API has these counters."""

        async def right() -> Obj | None:
            status: Obj = (await self.api.get(RULES, name, "default")).get("status") or {}
            counts = status.get("successMessages"), status.get("failMessages")
            return status if counts == (success, fail) else None

        found: Obj = await becomes(right, SECONDS)
        return found

    async def until(self, check: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not check():
                await asyncio.sleep(0.01)


async def output(*command: str, data: bytes = b"") -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate(data)
    assert process.returncode == 0, f"{command[0]}: {errors.decode()}"
    return out.decode()


@contextlib.asynccontextmanager
async def lab(directory: Path) -> AsyncIterator[Lab]:
    """The whole of it until the block ends, with one RuleEndpoint of each type."""
    port, bus = free_port(), free_port()
    async with contextlib.AsyncExitStack() as stack:
        place = stack.enter_context(edgesite(directory))
        modules = {"router": {"enable": True, "address": "127.0.0.1", "port": port, "restTimeout": 10}}
        stack.enter_context(
            cloudcore(
                place, modules=modules, edgelab={"router": {"spoolDirectory": str(directory / "spool")}}
            )
        )
        api = await stack.enter_async_context(HttpClient(kubeconfig.load(place.kubeconfig)))
        broker = await stack.enter_async_context(mosquitto(directory))
        rest, service = [await stack.enter_async_context(target()) for _ in range(2)]
        service.answer = b"served"
        await endpoints(api, service.port)
        await api.create(NODES, NODE)
        config = await edge_settings(directory / "edge", place, api, broker, bus)
        edge = await stack.enter_async_context(edgecore(config))
        made = Lab(place, api, edge, config, broker, port, bus, rest, service)
        await edge.wait_for_line("connected to MQTT broker")
        await edge.wait_for_line("connected to CloudCore")
        await stack.enter_async_context(listening(made))
        yield made


async def endpoints(api: HttpClient, port: int) -> None:
    for kind in ("rest", "eventbus", "servicebus"):
        properties = {"service_port": str(port)} if kind == "servicebus" else {}
        spec = {"ruleEndpointType": kind, "properties": properties}
        await api.create(RULE_ENDPOINTS, {"metadata": {"name": kind}, "spec": spec}, "default")


async def edge_settings(
    directory: Path, place: Place, api: HttpClient, broker: int, bus: int, *, node: str = "edge1"
) -> Path:
    secret = await api.get(SECRETS, "tokensecret", "kubeedge")
    directory.mkdir()
    hub: dict[str, Any] = {
        "httpServer": f"https://127.0.0.1:{place.https}",
        "messageQPS": 0,
        "tlsCaFile": str(directory / "ca" / "rootCA.crt"),
        "tlsCertFile": str(directory / "certs" / "server.crt"),
        "tlsPrivateKeyFile": str(directory / "certs" / "server.key"),
        "websocket": {"server": f"127.0.0.1:{place.nodes}"},
    }
    external = f"tcp://127.0.0.1:{broker}"
    path = configuration(
        directory,
        place.nodes,
        edged={"hostnameOverride": node},
        edgeHub=hub,
        eventBus={"enable": True, "mqttServerExternal": external},
        serviceBus={"enable": True, "port": bus},
    )
    token = base64.b64decode(secret["data"]["tokendata"]).decode()
    (directory / "bootstrap.conf").write_text(token + "\n")
    return path


@contextlib.asynccontextmanager
async def listening(made: Lab) -> AsyncIterator[None]:
    """An MQTT client, until the block ends."""
    loop, client = asyncio.get_running_loop(), made.mqtt
    subscribed = asyncio.Event()

    def keep(_client: Client, _data: Any, message: MQTTMessage) -> None:
        loop.call_soon_threadsafe(made.heard.append, (message.topic, message.payload.decode()))

    client.on_message = keep
    client.on_connect = lambda *_: client.subscribe("#", 1)
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
    client.connect("127.0.0.1", made.broker)
    client.loop_start()
    try:
        async with asyncio.timeout(SECONDS):
            await subscribed.wait()
        yield
    finally:
        client.disconnect()
        client.loop_stop()
