"""gRPC over a real unix socket: what is refused and how that is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import BytesValue, StringValue
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from edgelab.daemon.errors import Unreachable
from edgelab.daemon.unixgrpc import Call, CallError, InvalidArgument, Peer, serve
from edgelab.daemon.unixsocket import CannotListen, listen


@contextlib.asynccontextmanager
async def serving(path: Path, limit: int = 1000) -> AsyncIterator[Peer]:
    async def echo(request: Any) -> StringValue:
        if request.value == "bad":
            raise InvalidArgument("value: is bad")
        if request.value == "busy":
            raise GRPCError(Status.RESOURCE_EXHAUSTED, "later")
        if request.value == "slow":
            await asyncio.Event().wait()
        return StringValue(value=request.value)

    task = asyncio.create_task(serve(listen(path), [Call("/x/Echo", StringValue, StringValue, echo)], limit))
    peer = Peer(str(path))
    try:
        yield peer
    finally:
        peer.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(peer: Peer, text: str, seconds: float = 10) -> str:
    answer = await peer.call("/x/Echo", StringValue(value=text), StringValue, seconds)
    return str(answer.value)


async def test_a_call_is_answered_and_each_refusal_has_its_status(tmp_path: Path) -> None:
    async with serving(tmp_path / "s.sock") as peer:
        assert await ask(peer, "hello") == "hello"
        for text, refusal in (
            ("bad", "INVALID_ARGUMENT: value: is bad"),
            ("busy", "RESOURCE_EXHAUSTED: later"),
            (
                "x" * 1001,
                "RESOURCE_EXHAUSTED: StringValue: the message has 1004 bytes, 1000 at most are taken",
            ),
        ):
            with pytest.raises(CallError) as caught:
                await ask(peer, text)
            assert str(caught.value) == refusal
        with pytest.raises(CallError, match=r"DEADLINE_EXCEEDED: no answer within 0\.05 s"):
            await ask(peer, "slow", 0.05)
        with pytest.raises(CallError, match=r"INVALID_ARGUMENT: StringValue: .*not UTF-8"):
            await peer.call("/x/Echo", BytesValue(value=b"\xff"), StringValue, 10)
        assert await ask(peer, "still here") == "still here"


async def test_who_is_gone_is_unreachable_and_who_is_back_answers(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    async with serving(path) as first:
        assert await ask(first, "1") == "1"
        kept = Peer(str(path))
        assert await ask(kept, "2") == "2"
    with pytest.raises(Unreachable, match=r"s\.sock: "):
        await ask(kept, "3")
    async with serving(path):
        assert await ask(kept, "4") == "4"
    kept.close()


def test_the_socket_has_its_mode_and_its_directory_and_replaces_a_leftover(tmp_path: Path) -> None:
    path = tmp_path / "new" / "dmi.sock"
    listen(path).close()
    with listen(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with pytest.raises(CannotListen, match="another process listens on it"):
            listen(path)


def test_what_is_in_the_way_is_named_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "dmi.sock"
    path.write_text("mine")
    with pytest.raises(CannotListen, match="no socket is in the way"):
        listen(path)
    assert path.read_text() == "mine"
    with pytest.raises(CannotListen, match="107 bytes at most"):
        listen(tmp_path / ("x" * 108))
    with pytest.raises(CannotListen, match="is no directory"):
        listen(path / "dmi.sock")


async def test_a_client_that_speaks_no_http_is_dropped(tmp_path: Path) -> None:
    async with serving(tmp_path / "s.sock") as peer:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.setblocking(False)
            await loop.sock_connect(stranger, str(tmp_path / "s.sock"))
            await loop.sock_sendall(stranger, b"GET / HTTP/1.1\r\n\r\n" * 4)
            async with asyncio.timeout(10):
                while await loop.sock_recv(stranger, 4096):
                    pass
        assert await ask(peer, "fine") == "fine"
