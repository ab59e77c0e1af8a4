"""What a connection tells of its peer, over a real TCP connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest

from edgelab.edgecore.edgehub.connection import WebSocketConnection
from edgelab.edgecore.edgehub.link import Disconnected


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as one,
    ):
        yield one


class ShortTold:
    """A socket of a kernel that has one word to say about TCP, as QEMU's user-mode emulator has."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def getsockopt(self, *words: int) -> bytes:
        return cast("bytes", self._sock.getsockopt(*words))[:4]


def connection(sock: Any) -> WebSocketConnection:
    return WebSocketConnection(cast("Any", None), sock, 1.0)


def test_a_peer_that_acknowledged_just_now_is_not_silent(sock: socket.socket) -> None:
    sock.sendall(b"x")
    assert 0.0 <= connection(sock).silence() < 10.0


def test_silence_that_the_kernel_does_not_tell_is_none(sock: socket.socket) -> None:
    assert connection(ShortTold(sock)).silence() == 0.0


def test_a_socket_that_is_closed_is_a_connection_that_is_gone(sock: socket.socket) -> None:
    sock.close()
    with pytest.raises(Disconnected):
        connection(sock).silence()
