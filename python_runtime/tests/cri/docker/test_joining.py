"""Docker's hijacked connections, against an engine that plays a script: frames, ends, codes, what is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edgelab.cri.docker import members, network
from edgelab.cri.docker.http import Engine
from edgelab.cri.docker.joining import DockerJoining
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.joining import Process, Wanted

OUTPUTS = Wanted(stdin=False, stdout=True, stderr=True, tty=False)
ALL = Wanted(stdin=True, stdout=True, stderr=True, tty=False)
TERMINAL = Wanted(stdin=True, stdout=True, stderr=False, tty=True)
UPGRADED = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n\r\n"
)


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Script:
    """`state` is what `/exec/e1/json` says; `play` has the connection after its 101, None refuses it."""

    play: Play | None = None
    state: dict[str, Any] = field(default_factory=lambda: {"Running": False, "ExitCode": 0, "Pid": 0})
    config: dict[str, Any] = field(default_factory=lambda: {"Tty": False, "StdinOnce": False})
    container: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any], Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            body = await reader.readexactly(int(lines["content-length"]))
            method, target, _ = head.split(" ", 2)
            path = urlsplit(target).path.removeprefix("/v1.40")
            query = {key: values[0] for key, values in parse_qs(urlsplit(target).query).items()}
            self.asked.append((f"{method} {path}", query, json.loads(body) if body else None))
            if path.endswith(("/start", "/attach")) and self.play is not None:
                assert (lines["connection"], lines["upgrade"]) == ("upgrade", "tcp")
                writer.write(UPGRADED)
                await self.play(reader, writer)
            elif path.endswith(("/start", "/attach")):
                self._answer(writer, "409 Conflict", {"message": "container c1 is not running"})
            elif path == "/exec/e1/json":
                self._answer(writer, "200 OK", self.state)
            elif path.endswith("/json"):
                self._answer(writer, "200 OK", {"Config": self.config, **self.container})
            else:
                self._answer(writer, "201 Created", {"Id": "e1"})
        finally:
            writer.close()

    @staticmethod
    def _answer(writer: asyncio.StreamWriter, status: str, body: Any) -> None:
        data = json.dumps(body).encode()
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)

    def body(self, path: str) -> Any:
        return next(body for asked, _, body in self.asked if asked == path)

    def query(self, path: str) -> dict[str, Any]:
        return next(query for asked, query, _ in self.asked if asked == path)


@asynccontextmanager
async def engine(script: Script, path: Path) -> AsyncIterator[DockerJoining]:
    server = await asyncio.start_unix_server(script.serve, str(path / "docker.sock"))
    try:
        yield DockerJoining(Engine(f"unix://{path}/docker.sock"), 5)
    finally:
        server.close()
        await server.wait_closed()


async def all_of(process: Process) -> dict[str, bytes]:
    found = {"stdout": b"", "stderr": b""}
    async for name, data in process.outputs():
        found[name] += data
    return found


async def test_frames_in_any_pieces_are_the_streams_and_the_code_comes_when_docker_knows_it(
    tmp_path: Path,
) -> None:
    big = bytes(range(256)) * 1024

    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = frame(1, b"out") + frame(2, b"err") + frame(1, b"") + frame(1, big)
        for position in range(40):
            writer.write(data[position : position + 1])
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(data[40:])
        asyncio.get_running_loop().call_later(0.1, script.state.update, {"Running": False, "ExitCode": 7})

    script = Script(play, {"Running": True, "ExitCode": None, "Pid": 0})
    async with engine(script, tmp_path) as joining, joining.exec("c1", ["ls", "-l"], OUTPUTS) as process:
        assert await all_of(process) == {"stdout": b"out" + big, "stderr": b"err"}
        assert await process.exit_code() == 7
    wanted = {"AttachStdin": False, "AttachStdout": True, "AttachStderr": True, "Tty": False}
    assert script.body("POST /containers/c1/exec") == {**wanted, "Cmd": ["ls", "-l"]}
    assert script.body("POST /exec/e1/start") == {"Detach": False, "Tty": False}


async def test_input_reaches_the_command_and_its_end_too_while_outputs_come(tmp_path: Path) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(1, await reader.read()))  # to the end of input

    script = Script(play)
    async with engine(script, tmp_path) as joining, joining.exec("c1", ["cat"], ALL) as process:
        await process.send(b"a" * 300_000)
        await process.finish()
        assert await all_of(process) == {"stdout": b"a" * 300_000, "stderr": b""}
        await process.exit_code()


async def test_a_terminal_is_raw_keeps_its_input_and_is_told_its_size(tmp_path: Path) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x01\x00\x00\x00" + await reader.readexactly(2))
        with pytest.raises(TimeoutError):  # an end of input would cut the outputs
            await asyncio.wait_for(reader.read(1), 0.3)

    script = Script(play)
    async with engine(script, tmp_path) as joining, joining.exec("c1", ["sh"], TERMINAL) as process:
        await process.resize(80, 24)
        await process.send(b"ls")
        await process.finish()
        assert await all_of(process) == {"stdout": b"\x01\x00\x00\x00ls", "stderr": b""}
        await process.exit_code()
    assert script.query("POST /exec/e1/resize") == {"w": "80", "h": "24"}
    assert script.body("POST /containers/c1/exec")["DetachKeys"]


@pytest.mark.parametrize(
    ("tty", "once", "closes"), [(False, True, True), (False, False, False), (True, True, False)]
)
async def test_attach_ends_the_input_only_where_the_container_takes_that(
    tmp_path: Path, tty: bool, once: bool, closes: bool
) -> None:
    seen: list[bytes] = []

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen.append(await asyncio.wait_for(reader.read(), 0.3))
        except TimeoutError:
            seen.append(b"still open")
        writer.write(b"raw" if tty else frame(2, b"framed"))

    script = Script(play, config={"Tty": tty, "StdinOnce": once})
    async with engine(script, tmp_path) as joining, joining.attach("c1", ALL) as process:
        await process.finish()
        assert b"".join((await all_of(process)).values()) == (b"raw" if tty else b"framed")
        assert await process.exit_code() == 0
    assert seen == [b"" if closes else b"still open"]
    query = script.query("POST /containers/c1/attach")
    assert {name: query.get(name) for name in ("stream", "stdin", "stdout", "stderr")} == dict.fromkeys(
        ("stream", "stdin", "stdout", "stderr"), "1"
    )
    assert ("detachKeys" in query) is tty


async def test_what_docker_refuses_is_told_and_a_cut_is_no_good_end(tmp_path: Path) -> None:
    script = Script()
    async with engine(script, tmp_path) as joining:
        with pytest.raises(CriError, match="container c1 is not running"):
            async with joining.exec("c1", ["ls"], OUTPUTS):
                pass

        async def cut(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(frame(1, b"whole")[:-1])

        script.play = cut
        with pytest.raises(RuntimeUnreachable, match="Docker cut the output"):
            async with joining.exec("c1", ["ls"], OUTPUTS) as process:
                await all_of(process)
    with pytest.raises(RuntimeUnreachable):
        async with joining.attach("c1", OUTPUTS):
            pass


async def test_what_a_command_said_is_there_also_when_its_input_is_closed_to_us(tmp_path: Path) -> None:
    async def play(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(1, b"a" * 50_000))  # and away, with our input unread

    script = Script(play)
    async with engine(script, tmp_path) as joining, joining.exec("c1", ["head"], ALL) as process:
        refused = False
        for _ in range(1000):
            try:
                await process.send(b"x" * 10_000)
            except OSError:
                refused = True
        assert refused
        assert (await all_of(process))["stdout"] == b"a" * 50_000
        await process.exit_code()


async def test_a_command_whose_client_goes_is_killed_with_its_group_also_when_it_starts_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "PROCESSES", tmp_path)
    command = subprocess.Popen(
        ["sh", "-c", "sleep 7401 & wait"], start_new_session=True, stdout=subprocess.PIPE
    )
    (tmp_path / str(command.pid)).mkdir()
    (tmp_path / str(command.pid) / "cgroup").write_text("0::/kubepods/c1\n")

    async def play(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()
        late = {"Running": True, "ExitCode": None, "Pid": command.pid}
        asyncio.get_running_loop().call_later(0.3, script.state.update, late)

    script = Script(play, {"Running": False, "ExitCode": None, "Pid": 0})
    try:
        async with engine(script, tmp_path) as joining:

            async def client() -> None:
                async with joining.exec("c1", ["sleep"], OUTPUTS) as process:
                    await all_of(process)

            task = asyncio.create_task(client())
            async with asyncio.timeout(20):
                while not any(asked == "POST /exec/e1/start" for asked, _, _ in script.asked):
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.sleep(0.1)
            task.cancel()  # EdgeCore ends, too
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await asyncio.to_thread(command.wait, 20) == -signal.SIGKILL
        assert command.stdout is not None
        assert await asyncio.to_thread(command.stdout.read) == b"", (
            "the sleep has gone, too, and its pipe with it"
        )
    finally:
        if command.poll() is None:
            os.killpg(command.pid, signal.SIGKILL)
            command.wait()
        if command.stdout is not None:
            command.stdout.close()


async def test_a_process_that_is_not_in_the_container_is_left_alone() -> None:
    other = subprocess.Popen(["sleep", "7402"], start_new_session=True)
    try:
        members.kill("c0ffee" * 10, other.pid)
        await asyncio.sleep(0.2)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def pod(mode: str, key: str = "", *, runs: bool = True) -> dict[str, Any]:
    return {
        "State": {"Running": runs},
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"SandboxKey": key},
    }


@pytest.mark.parametrize("mode", ["host", "default"])
async def test_a_port_is_reached_by_both_families_and_a_closed_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """In our own network, which takes no rights; another one is the component test's."""
    entered: list[int] = []
    monkeypatch.setattr(network, "enter", entered.append)
    key = tmp_path / "network"
    key.touch()

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async with engine(Script(container=pod(mode, str(key))), tmp_path) as joining:
        for address in ("127.0.0.1", "::1"):
            server = await asyncio.start_server(greet, address, 0)
            port = server.sockets[0].getsockname()[1]
            reader, writer = await joining.dial("s1", port)
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            with pytest.raises(OSError, match="Connection refused"):
                await joining.dial("s1", free.getsockname()[1])
    assert bool(entered) is (mode == "default")


async def test_a_network_that_is_not_there_is_named(tmp_path: Path) -> None:
    no_network = tmp_path / "no-network"
    no_network.touch()
    for found, why in (
        (pod("default", str(tmp_path / "none")), r"network .*/none cannot be opened: No such file"),
        (pod("default", str(no_network)), r"network .*/no-network cannot be entered: "),
        (pod("default", runs=False), "sandbox s1 does not run"),
    ):
        async with engine(Script(container=found), tmp_path) as joining:
            with pytest.raises(CriError, match=why):
                await joining.dial("s1", 80)
