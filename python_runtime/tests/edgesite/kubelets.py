"""A kubelet's API over TLS: logs, exec and attach by SPDY/3.1, ports, and paths that misbehave.

It runs no containers: "commands" are those of `COMMANDS`. It asks for a client certificate, and must be
shown one for everything that is a kubelet's alone.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from edgelab.daemon.clock import SYSTEM
from edgelab.identity.ca import CertificateAuthority
from edgelab.protocol import spdy

PUBLIC = ("echo", "page", "moved", "cut")
UPGRADED = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
PAGE = b'<html><head><LINK href=/a.css></head><a href="/x?a=1&amp;b=2">\xc3\xa9</a><a href="y">z</a></html>'


@dataclass
class Kubelet:
    """`requests` are the heads that came; `log` is what a log has, `more` what a follower gets."""

    directory: Path
    client_ca: bytes | None = None
    host: str = "127.0.0.1"
    port: int = 0
    requests: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    log: bytes = b"one\ntwo\n"
    more: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    usage: Callable[[], str] | None = None
    """What `/metrics/resource` shows."""
    connections: int = 0
    sent: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    authority: CertificateAuthority = field(
        default_factory=lambda: CertificateAuthority.create("kubelets", SYSTEM.now)
    )

    def context(self) -> ssl.SSLContext:
        pair = self.authority.issue(common_name="kubelet", ip_addresses=[self.host], server=True)
        files = self.directory / "kubelet.crt", self.directory / "kubelet.key"
        files[0].write_bytes(pair.cert_pem)
        files[1].write_bytes(pair.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        if self.client_ca is not None:
            context.load_verify_locations(cadata=self.client_ca.decode())
            context.verify_mode = ssl.CERT_OPTIONAL  # requests for a pod come without one
        return context

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        subject = (writer.get_extra_info("peercert") or {}).get("subject") or ()
        self.users += [value for ((name, value),) in subject if name == "commonName"]
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        parts = path.strip("/").split("/")
        if self.client_ca is not None and parts[0] not in PUBLIC and not subject:
            answer(writer, "401 Unauthorized", b"Unauthorized")
        elif parts[0] == "containerLogs":
            await self._log(writer, parts, query)
        elif parts[0] in ("exec", "attach", "portForward") and "upgrade: spdy/3.1" in head.lower():
            version = "portforward.k8s.io" if parts[0] == "portForward" else "v4.channel.k8s.io"
            writer.write(f"{UPGRADED}X-Stream-Protocol-Version: {version}\r\n\r\n".encode())
            session = Session(self, reader, writer, query)
            await (session.forward() if parts[0] == "portForward" else session.run())
        elif parts[0] == "echo":
            length = next(
                (line.split(":")[1] for line in head.split("\r\n") if "content-length" in line.lower()), 0
            )
            body = await reader.readexactly(int(length))
            answer(writer, "200 OK", f"{method} {target} ".encode() + body)
        elif path == "/metrics/resource" and self.usage is not None:
            answer(writer, "200 OK", self.usage().encode(), "Content-Type: text/plain")
        elif parts[0] == "page":
            answer(writer, "200 OK", PAGE, "Content-Type: text/html", "Access-Control-Allow-Origin: *")
        elif parts[0] == "moved":
            answer(writer, "302 Found", b"", "Location: /echo/there/")
        elif parts[0] == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
        else:
            answer(writer, "404 Not Found", b"404 page not found\n")
        await writer.drain()

    async def _log(self, writer: asyncio.StreamWriter, parts: list[str], query: dict[str, Any]) -> None:
        if parts[2] == "broken":
            answer(writer, "500 Internal Server Error", b"the disk is gone\n")
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(chunk(self.log))
        while query.get("follow") and (data := await self.more.get()):
            writer.write(chunk(data))
            await writer.drain()
            self.sent += len(data)
        writer.write(b"0\r\n\r\n")


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n" if data else b""


def answer(writer: asyncio.StreamWriter, status: str, body: bytes, *headers: str) -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


class Session:
    """A SPDY connection from the server's side."""

    def __init__(
        self,
        kubelet: Kubelet,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        query: dict[str, list[str]],
    ) -> None:
        self.kubelet = kubelet
        self.query = query
        self.command = query.get("command", ["attach"])
        self.streams: dict[str, int] = {}
        self._reader, self._writer = reader, writer
        self._out = spdy.Writer()

    async def frames(self) -> AsyncIterator[spdy.Frame]:
        reader = spdy.Reader()
        while data := await self._reader.read(65536):
            for frame in reader.feed(data):
                if frame.kind == spdy.PING:
                    self._writer.write(spdy.Writer.pong(frame.number))
                else:
                    yield frame

    async def write(self, stream: str | int, data: bytes, *, final: bool = False) -> None:
        number = stream if isinstance(stream, int) else self.streams[stream]
        self._writer.write(spdy.Writer.data(number, data, final=final))
        await self._writer.drain()
        self.kubelet.sent += len(data)

    def accept(self, frame: spdy.Frame) -> dict[str, str]:
        self._writer.write(self._out.reply(frame.number, {}))
        return dict(frame.headers)

    async def run(self) -> None:
        names = {"input": "stdin", "output": "stdout", "error": "stderr", "tty": "resize"}
        wanted = {"error", *(name for key, name in names.items() if key in self.query)}
        wanted -= {"stderr"} if "tty" in self.query else set()
        frames = self.frames()
        while set(self.streams) != wanted:
            frame = await anext(frames, None)
            if frame is None:
                return
            if frame.kind == spdy.SYN_STREAM:
                self.streams[self.accept(frame)["streamtype"]] = frame.number
        code = await COMMANDS[self.command[0]](self, frames)
        status: dict[str, Any] = {"metadata": {}, "status": "Success"}
        if code:
            causes = [{"reason": "ExitCode", "message": str(code)}]
            status = {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode"}
            status |= {
                "message": f"command terminated with non-zero exit code: {code}",
                "details": {"causes": causes},
            }
        await self.write("error", json.dumps(status).encode())
        for number in self.streams.values():
            await self.write(number, b"", final=True)
        with suppress(OSError):
            await self._reader.read()  # until the client hangs up

    async def forward(self) -> None:
        """Answers each connection to a port in capitals, and port 1 with an error."""
        data_streams: dict[int, str] = {}
        async for frame in self.frames():
            if frame.kind == spdy.SYN_STREAM:
                headers = self.accept(frame)
                if headers["streamtype"] == "data":
                    data_streams[frame.number] = headers["port"]
                else:
                    wrong = b"nobody listens" if headers["port"] == "1" else b""
                    await self.write(frame.number, wrong, final=True)
            elif frame.kind == 0 and frame.number in data_streams:
                await self.write(frame.number, frame.data.upper(), final=frame.final)


Frames = AsyncIterator[spdy.Frame]


async def _cat(session: Session, frames: Frames) -> int:
    async for frame in frames:
        if frame.kind == 0 and frame.number == session.streams["stdin"]:
            if frame.data:
                await session.write("stdout", frame.data)
            if frame.final:
                return 0
    return 1


async def _echo(session: Session, frames: Frames) -> int:
    await session.write("stdout", " ".join(session.command[1:]).encode() + b"\n")
    return 0


async def _fail(session: Session, frames: Frames) -> int:
    await session.write("stderr", b"it fails\n")
    return int(session.command[1])


async def _size(session: Session, frames: Frames) -> int:
    async for frame in frames:
        if frame.kind == 0 and frame.number == session.streams["resize"] and frame.data:
            size = json.loads(frame.data)
            await session.write("stdout", f"{size['Width']}x{size['Height']}\r\n".encode())
            return 0
    return 1


async def _yes(session: Session, frames: Frames) -> int:
    while True:
        await session.write("stdout", b"y\n" * 8192)
        await asyncio.sleep(0)


async def _vanish(session: Session, frames: Frames) -> int:
    raise ConnectionError("as if the power was cut")


COMMANDS: dict[str, Callable[[Session, Frames], Awaitable[int]]] = {
    "attach": _cat,
    "cat": _cat,
    "echo": _echo,
    "fail": _fail,
    "size": _size,
    "vanish": _vanish,
    "yes": _yes,
}


@asynccontextmanager
async def kubelet(
    directory: Path, *, host: str = "127.0.0.1", client_ca: bytes | None = None
) -> AsyncIterator[Kubelet]:
    made = Kubelet(directory, client_ca, host)
    server = await asyncio.start_server(made.serve, host, 0, ssl=made.context())
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    for writer in made.writers:  # TLS would wait for what the other side says to its end
        writer.transport.abort()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def node(name: str, host: str, port: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Node, and the patch of its status that says where its kubelet is."""
    status = {
        "addresses": [{"type": "InternalIP", "address": host}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}, {"status": status}


def pod(name: str, node_name: str, *containers: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "containers": [{"name": item, "image": "x"} for item in containers or ("c",)],
        "tolerations": [{"operator": "Exists"}],
    }
    if node_name:
        spec["nodeName"] = node_name
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }
