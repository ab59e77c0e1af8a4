"""Real databases, a recorder of HTTP requests, and a device whose samples a test hands over."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pymysql
import redis
from tests.component.mappers.conftest import free_port

from edgelab.daemon.clock import SYSTEM
from edgelab.mappers.sdk.link import Reported
from edgelab.mappers.sdk.model import Device, Property
from edgelab.mappers.sdk.push.hub import Hub, Outlet
from edgelab.mappers.sdk.push.sender import Sender
from edgelab.objects.pushmethods import parse

TIME = 1_767_225_600_123
"""2026-01-01 00:00:00.123 UTC."""
PASSWORD = "pa'ss%s word"


class Pushing:
    """One device; each property pushes as the test says."""

    def __init__(self, hub: Hub, outlet: Outlet, device: Device, since: int) -> None:
        self.hub = hub
        self._outlet = outlet
        self._device = device
        self._time = since

    def put(self, *values: str, prop: str = "temperature") -> None:
        for value in values:
            self._outlet.put(prop, Reported(value, self._device.properties[prop].type, "", self._time))
            self._time += 1000

    @property
    def senders(self) -> list[Sender]:
        return [shared.sender for shared in self.hub._shared.values()]

    async def done(self, seconds: float = 60) -> None:
        """Wait until nothing waits any more."""
        await until(lambda: not any(sender.waiting for sender in self.senders), seconds)


@contextlib.asynccontextmanager
async def pushing(
    *pushes: dict[str, Any],
    names: tuple[str, ...] = ("temperature", "other"),
    kind: str = "float",
    since: int = TIME,
) -> AsyncIterator[Pushing]:
    found = [parse(push) for push in pushes]
    assert not [text for push in found for text in (*push.faults, *push.unserved)]
    properties = {
        name: Property(name, type=kind, push=push) for name, push in zip(names, found, strict=False)
    }
    device = Device("default", "thermo-1", properties=properties)
    hub = Hub(SYSTEM)
    try:
        yield Pushing(hub, hub.outlet(device), device, since)
    finally:
        await hub.close()


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


class Server:
    """A process on a port of loopback."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        self._process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"{self.command()[0]} ended with {self._process.returncode}"
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"{self.command()[0]} did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None


def program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin")
    assert found, f"{name} is missing: scripts/bootstrap --test installs it"
    return found


class MariaDb(Server):
    """Database `d` and user `mapper` with PASSWORD; the first start makes them."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._socket = directory / "s"
        install = [
            program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={directory / 'data'}",
            "--user=root",
        ]
        options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
        subprocess.run([*install, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        quoted = PASSWORD.replace("'", "''")
        self._first = directory / "first.sql"
        self._first.write_text(
            f"ALTER USER root@localhost IDENTIFIED BY '{quoted}';\nCREATE DATABASE IF NOT EXISTS d;\n"
            f"CREATE USER IF NOT EXISTS mapper@'127.0.0.1' IDENTIFIED BY '{quoted}';\n"
            "GRANT ALL ON d.* TO mapper@'127.0.0.1';\n"
        )
        self._first.chmod(0o600)

    def command(self) -> list[str]:
        return [
            program("mariadbd"),
            "--no-defaults",
            "--user=root",
            f"--datadir={self._directory / 'data'}",
            f"--socket={self._socket}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            f"--init-file={self._first}",
            f"--pid-file={self._directory / 'pid'}",
        ]

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with (
            pymysql.connect(
                unix_socket=str(self._socket), user="root", password=PASSWORD, database="d", autocommit=True
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return list(cursor.fetchall())


class RedisServer(Server):
    """Requires PASSWORD; keeps what it has on disk, each write before its answer."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._config = directory / "redis.conf"
        self._config.write_text(
            f'port {self.port}\nbind 127.0.0.1\ndir {directory}\nsave ""\n'
            f'appendonly yes\nappendfsync always\nrequirepass "{PASSWORD}"\n'
        )
        self._config.chmod(0o600)

    def command(self) -> list[str]:
        return [program("redis-server"), str(self._config)]

    def client(self, db: int = 0) -> redis.Redis:
        return redis.Redis(port=self.port, db=db, password=PASSWORD, decode_responses=True)


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes
    client: int
    """The port that it came from: one for each connection."""


class Recorder:
    """An HTTP server of the test's own, which is no database: keeps requests and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[tuple[int, bytes]] = []
        """Statuses and bodies of the next answers; then 200 without a body."""
        self.delay = 0.0
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                recorder.requests.append(Request(self.path, headers, body, self.client_address[1]))
                time.sleep(recorder.delay)
                status, answer = recorder.answers.pop(0) if recorder.answers else (200, b"")
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def bodies(self) -> list[bytes]:
        return [request.body for request in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
