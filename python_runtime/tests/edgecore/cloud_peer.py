"""A cloud written by the test: TLS WebSocket server on a free port, with whatever it is told to say."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from websockets.asyncio.server import Server, ServerConnection, serve

from edgelab.identity.ca import CertificateAuthority
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

Answer = Callable[[Message], Message | None]


@dataclass
class Pki:
    """A CA with a server certificate and a node's files in `directory`."""

    directory: Path
    ca: CertificateAuthority

    @classmethod
    def create(cls, directory: Path, node: str = "edge1") -> Pki:
        directory.mkdir(parents=True, exist_ok=True)
        pki = cls(directory, CertificateAuthority.create("KubeEdge"))
        server = pki.ca.issue(
            common_name="KubeEdge", organization="KubeEdge", ip_addresses=["127.0.0.1"], server=True
        )
        (directory / "cloud.crt").write_bytes(server.cert_pem)
        (directory / "cloud.key").write_bytes(server.key_pem)
        (directory / "rootCA.crt").write_bytes(pki.ca.cert_pem)
        pki.issue_node(node)
        return pki

    def issue_node(self, node: str, days: int = 365) -> None:
        pair = self.ca.issue(
            common_name=f"system:node:{node}", organization="system:nodes", client=True, days=days
        )
        (self.directory / "server.crt").write_bytes(pair.cert_pem)
        (self.directory / "server.key").write_bytes(pair.key_pem)

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "cloud.crt", self.directory / "cloud.key")
        context.load_verify_locations(self.directory / "rootCA.crt")
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@dataclass
class CloudPeer:
    """Keeps what arrives, answers requests by `answers`, and sends what the test wants sent."""

    pki: Pki
    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    received: list[Message] = field(default_factory=list)
    handshakes: list[dict[str, str]] = field(default_factory=list)
    _server: Server | None = None
    _session: ServerConnection | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            ssl=self.pki.context(),
            compression=None,
            ping_interval=None,
            max_size=None,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.handshakes.append({k.lower(): v for k, v in connection.request.headers.raw_items()})
        self._session = connection
        async for frame in connection:
            assert isinstance(frame, str), "messages are text"
            message = wire.decode(frame)
            self.received.append(message)
            self._notify()
            for answer in self.answers:
                if (said := answer(message)) is not None:
                    await connection.send(wire.encode(said).decode())
                    break

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def send(self, message: Message) -> None:
        assert self._session is not None
        await self._session.send(wire.encode(message).decode())

    async def push(self, operation: str, resource: str, content: Any, **fields: str) -> Message:
        """Send an object as the edgecontroller does."""
        source = fields.pop("source", "edgecontroller")
        group = fields.pop("group", "resource")
        message = wire.new(
            source=source, group=group, operation=operation, resource=resource, content=content, **fields
        )
        await self.send(message)
        return message

    async def wait_for(
        self, wanted: Callable[[Message], bool], *, after: int = 0, seconds: float = 60
    ) -> Message:
        """The first received message (from index `after`) that `wanted` accepts."""
        async with asyncio.timeout(seconds):
            while True:
                changed = self._changed
                for message in self.received[after:]:
                    if wanted(message):
                        return message
                await changed.wait()

    async def acknowledged(self, message: Message, seconds: float = 60) -> Message:
        return await self.wait_for(lambda m: m.parent_id == message.id, seconds=seconds)


@contextlib.asynccontextmanager
async def cloud_peer(pki: Pki, port: int = 0) -> AsyncIterator[CloudPeer]:
    peer = CloudPeer(pki, port)
    await peer.start()
    try:
        yield peer
    finally:
        await peer.stop()


def confirm_twins(message: Message) -> Message | None:
    """Answer twin and state reports as the device controller does."""
    if message.route.source == "twin" and message.route.operation == "update":
        return wire.new(
            source="devicecontroller",
            group="twin",
            operation="response",
            resource="twin",
            content="OK",
            parent_id=message.id,
        )
    return None


def configuration(directory: Path, port: int, **modules: Any) -> Path:
    """An edgecore.yaml for the files of a Pki; `modules` is merged on top. edged is off unless given."""
    document: dict[str, Any] = {
        "database": {"dataSource": str(directory / "edgecore.db")},
        "edgelab": {"bootstrapFile": str(directory / "bootstrap.conf"), "reconnectCap": "2s"},
        "modules": {
            "edged": {"enable": False, "hostnameOverride": "edge1"},
            "edgeHub": {
                "httpServer": "https://127.0.0.1:1",
                "tlsCaFile": str(directory / "rootCA.crt"),
                "tlsCertFile": str(directory / "server.crt"),
                "tlsPrivateKeyFile": str(directory / "server.key"),
                "websocket": {"server": f"127.0.0.1:{port}"},
            },
            "eventBus": {"enable": False},
            "deviceTwin": {"dmiSockPath": str(directory)},
        },
    }
    for name, values in modules.items():
        document["modules"].setdefault(name, {}).update(values)
    path = directory / "edgecore.yaml"
    path.write_text(yaml.safe_dump(document))
    return path
