"""A whole CloudCore on free ports against an API in memory, and an edge node that speaks to it over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from tests.kube.fake_api import FakeApi
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from edgelab.cloudcore import app, environment
from edgelab.cloudcore.cloudhub.hub import CloudHub
from edgelab.cloudcore.cloudhub.pki import Pki, SecretStore, TokenKeeper, prepare
from edgelab.cloudcore.cloudhub.reception import Reception
from edgelab.cloudcore.cloudhub.tls import bind
from edgelab.cloudcore.startup import Starter
from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Unreachable
from edgelab.daemon.tasks import run_modules
from edgelab.identity import enrol
from edgelab.kube.interface import Obj, PatchType, Resource
from edgelab.kube.resources import DEVICE_STATUSES, NODES, PODS, RULES, SECRETS, SERVICE_ACCOUNTS
from edgelab.objects.patch import FieldPatch, merge_patch, strategic_merge_patch
from edgelab.objects.status import ApiError
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.settings.cloudcore import CloudCore
from edgelab.settings.cloudcore_stream import TUNNELPORT, Stream

PROJECT = "e632aba927ea4ac2b575ec1603d56f10"
EDGE_LABELS = {"node-role.kubernetes.io/edge": "", "kubernetes.io/hostname": "edge1"}


class Statuses:
    """How lists in statuses merge."""

    def patch_field(self, name: str) -> FieldPatch:
        key = {"conditions": "type", "addresses": "type", "podIPs": "ip"}.get(name, "")
        return FieldPatch(frozenset({"merge"} if key else ()), key, self)


class Api(FakeApi):
    """The API in memory, with what CloudCore uses besides: JSON text as a patch, tokens, DeviceStatus."""

    broken = ""
    """Writes of this plural fail as if the server were gone."""

    def _note(self, verb: str, resource: Resource, name: str, subresource: str | None) -> None:
        if resource.plural == self.broken:
            raise Unreachable("connection refused")
        super()._note(verb, resource, name, subresource)

    async def create(
        self, resource: Resource, obj: Obj, namespace: str | None = None, *, subresource: str | None = None
    ) -> Obj:
        if resource is SERVICE_ACCOUNTS and subresource == "token":
            status = {"token": "signed", "expirationTimestamp": "2027-01-01T00:00:00Z"}
            return {**obj, "metadata": {**obj["metadata"], "uid": "of-the-account"}, "status": status}
        return await super().create(resource, obj, namespace)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str | None = None,
    ) -> Obj:
        if isinstance(patch, bytes):
            patch = msgspec.json.decode(patch)
        if resource in (DEVICE_STATUSES, RULES):  # without a status subresource
            self._note("patch", resource, name, subresource)
            present = await self.get(resource, name, namespace)
            version = patch.get("metadata", {}).get("resourceVersion")
            if version not in (None, present["metadata"]["resourceVersion"]):
                raise ApiError(409, f"{name} has been changed meanwhile", "Conflict")
            return self._store("MODIFIED", resource, merge_patch(present, patch))
        if patch_type is PatchType.STRATEGIC:
            present = await self.get(resource, name, namespace)
            patch = strategic_merge_patch(present, patch, Statuses())
            patch_type = PatchType.MERGE
        return await super().patch(
            resource, name, patch, namespace, patch_type=patch_type, subresource=subresource
        )


@dataclass
class Cloud:
    """A running CloudCore."""

    api: Api
    settings: CloudCore
    pki: Pki
    sockets: environment.Sockets
    directory: Path
    reception: Reception
    tasks: asyncio.Task[None] | None = None

    @property
    def https(self) -> str:
        assert self.sockets.bootstrap is not None
        return f"https://127.0.0.1:{self.sockets.bootstrap.getsockname()[1]}"

    @property
    def port(self) -> int:
        return int(self.sockets.nodes.getsockname()[1])

    @property
    def hub(self) -> CloudHub:
        return self.reception._hub

    @property
    def quic_port(self) -> int:
        assert self.sockets.quic is not None
        return int(self.sockets.quic.getsockname()[1])

    @property
    def rest(self) -> str:
        assert self.sockets.router is not None
        return f"http://127.0.0.1:{self.sockets.router.getsockname()[1]}"

    async def stop(self) -> None:
        """End it; its port is free then."""
        assert self.tasks is not None
        self.tasks.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.tasks
        for name in ("nodes", "bootstrap", "monitor", "quic", "tunnels", "streams", "router"):
            sock = getattr(self.sockets, name)
            if sock is not None:
                sock.close()

    async def token(self) -> str:
        secret = await SecretStore(self.api, "kubeedge").read("tokensecret")
        assert secret is not None
        return secret["tokendata"].decode()

    def request(self, node: str = "edge1") -> enrol.Request:
        files = self.directory / node
        return enrol.Request(self.https, node, files / "ca.crt", files / "edge.crt", files / "edge.key")

    async def enrol(self, node: str = "edge1") -> None:
        """Get the node its certificate, once."""
        request = self.request(node)
        if not request.cert_file.exists():
            await asyncio.to_thread(enrol.enrol, request, await self.token())

    async def join(
        self, node: str = "edge1", *, acknowledging: bool = True, headers: dict[str, str] | None = None
    ) -> Edge:
        """Enrol and connect."""
        await self.enrol(node)
        return await self.dial(node, acknowledging=acknowledging, headers=headers)

    async def dial(
        self,
        node: str = "edge1",
        *,
        as_node: str = "",
        acknowledging: bool = True,
        headers: dict[str, str] | None = None,
    ) -> Edge:
        """Connect with the certificate of `node`, claiming to be `as_node`."""
        edge = Edge(as_node or node, acknowledging)
        await edge.connect(self.request(node), self.port, headers or {})
        return edge

    async def node(self, name: str = "edge1", **labels: str) -> Obj:
        labels = {**EDGE_LABELS, **labels}
        return await self.api.create(NODES, {"metadata": {"name": name, "labels": labels}, "spec": {}})

    async def pod(self, name: str = "web", node: str = "edge1", **spec: Any) -> Obj:
        body = {
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}], **spec},
        }
        return await self.api.create(PODS, body, "default")

    async def secret(self, name: str, **data: str) -> Obj:
        return await self.api.create(SECRETS, {"metadata": {"name": name}, "data": data}, "default")


@dataclass
class Edge:
    """An edge node as far as the wire shows it."""

    name: str
    acknowledging: bool = True
    """Whether every versioned message and every delete is answered with OK."""
    received: list[Message] = field(default_factory=list)
    connection: ClientConnection | None = None
    _reader: asyncio.Task[None] | None = None
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self, files: enrol.Request, port: int, headers: dict[str, str]) -> None:
        context = ssl.create_default_context(cafile=str(files.ca_file))
        context.load_cert_chain(files.cert_file, files.key_file)
        self.connection = await connect(
            f"wss://127.0.0.1:{port}/{PROJECT}/{self.name}/events",
            ssl=context,
            additional_headers={
                "Node_id": self.name,
                "Project_id": PROJECT,
                "Connectionuse": "msg",
                **headers,
            },
            compression=None,
            max_size=None,
            ping_interval=None,
            user_agent_header="Go-http-client/1.1",
        )
        self._reader = asyncio.create_task(self._read(), name=f"edge/{self.name}")

    async def close(self) -> None:
        if self.connection is not None:
            await self.connection.close()
        if self._reader is not None:
            await asyncio.wait([self._reader])

    async def send(self, message: Message) -> None:
        assert self.connection is not None
        await self.connection.send(wire.encode(message), text=True)

    async def ask(self, resource: str, operation: str, content: Any = None, source: str = "edged") -> Message:
        """Send a request and wait for its answer."""
        group = "resource" if source == "twin" else "meta"
        request = wire.new(
            source=source, group=group, operation=operation, resource=resource, content=content
        )
        await self.send(request)
        return await self.wait(lambda message: message.parent_id == request.id)

    async def wait(self, wanted: Callable[[Message], bool], seconds: float = 60) -> Message:
        """The first message (also of those that came earlier) that fits."""
        async with asyncio.timeout(seconds):
            while True:
                self._arrived.clear()
                found = next((message for message in self.received if wanted(message)), None)
                if found is not None:
                    return found
                await self._arrived.wait()

    async def pushed(self, resource: str, operation: str, seconds: float = 60) -> Message:
        return await self.wait(lambda m: about(m) == (operation, resource) and not m.parent_id, seconds)

    async def acknowledge(self, message: Message) -> None:
        reply = wire.reply(message, "OK")
        await self.send(reply)

    async def closed(self, seconds: float = 60) -> None:
        assert self._reader is not None
        async with asyncio.timeout(seconds):
            await asyncio.wait([self._reader])

    async def _read(self) -> None:
        assert self.connection is not None
        with contextlib.suppress(ConnectionClosed):
            async for frame in self.connection:
                assert isinstance(frame, str), "hub messages travel as text"
                message = wire.decode(frame)
                self.received.append(message)
                versioned = message.header.resourceversion or about(message)[0] == "delete"
                if self.acknowledging and versioned:
                    await self.acknowledge(message)
                self._arrived.set()


def about(message: Message) -> tuple[str, str]:
    return message.route.operation, message.route.resource


async def eventually(check: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.01)


def _reception_of(starter: Starter) -> Reception:
    found = (getattr(listener, "_reception", None) for listener in starter._listeners)
    return next(reception for reception in found if reception is not None)


@contextlib.asynccontextmanager
async def running(
    directory: Path,
    api: Api | None = None,
    replica: str = "",
    *,
    port: int = 0,
    gates: dict[str, bool] | None = None,
    adjust: Callable[[CloudCore], None] = lambda settings: None,
    kube_ca: bytes = b"kube ca",
    stream: Stream | None = None,
    router: dict[str, Any] | None = None,
    **changes: Any,
) -> AsyncIterator[Cloud]:
    """CloudCore until the block ends; `changes` are fields of modules.cloudHub, `gates` featureGates.

    `adjust` changes anything else. Nodes find it at `port`, so that it can come back where it was. With
    `stream` it has tunnels; with `router`, fields of modules.router and edgelab.router, a router.
    """
    api = api or Api()
    settings = CloudCore(featureGates=gates or {})
    settings.edgelab.replica = replica
    hub = settings.modules.cloudHub
    for name in ("tlsCAFile", "tlsCAKeyFile", "tlsCertFile", "tlsPrivateKeyFile"):
        setattr(hub, name, str(directory / name))
    hub.advertiseAddress = ["127.0.0.1"]
    for name, value in changes.items():
        setattr(hub, name, value)
    adjust(settings)
    secrets = SecretStore(api, "kubeedge")
    pki = await prepare(secrets, hub)
    keeper = TokenKeeper(secrets, pki.ca, hub.tokenRefreshDuration)
    await keeper.renew()
    sockets = environment.Sockets(*(bind("127.0.0.1", number, "test") for number in (port, 0, 0)))
    if not hub.websocket.enable:
        sockets.nodes.close()
        sockets.nodes = None
    if hub.quic.enable:
        sockets.quic = bind("127.0.0.1", hub.quic.port, "test", socket.SOCK_DGRAM)
    if stream is not None:
        settings.edgelab.stream = stream
        sockets.tunnels = bind("127.0.0.1", 0, "test")
        if stream.mode == TUNNELPORT:
            sockets.streams = bind("127.0.0.1", 0, "test")
    if router is not None:
        settings.edgelab.router.spoolDirectory = str(directory / "spool")
        for name, value in router.items():
            mine = (
                settings.modules.router if hasattr(settings.modules.router, name) else settings.edgelab.router
            )
            setattr(mine, name, value)
        settings.modules.router.enable = True
        sockets.router = bind("127.0.0.1", 0, "test")
    modules = [keeper, *app.build(settings, api, pki, sockets, kube_ca=kube_ca, clock=SYSTEM)]
    task = asyncio.create_task(run_modules(modules), name="cloudcore")
    starter = next(module for module in modules if isinstance(module, Starter))
    cloud = Cloud(api, settings, pki, sockets, directory, _reception_of(starter), task)
    try:
        yield cloud
    finally:
        await cloud.stop()
