"""A client of the D-Bus system bus, as small as logind and systemd allow; no library is loaded for it.

Authenticates as this user (EXTERNAL), calls methods, receives signals and file descriptors.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from typing import Any

from edgelab.edgecore.edged import dbuswire
from edgelab.edgecore.edged.dbuswire import FIXED, Message

SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
CALL_SECONDS = 25.0
MOST_DESCRIPTORS = 16


class BusError(Exception):
    """The bus is not there, went away, or a method failed; `str()` says which and why."""


class Bus:
    """A connection. Use as an async context manager; `signals` holds what was matched."""

    def __init__(self, address: str = "") -> None:
        self._address = address or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._serial = 0
        self._pending: dict[int, asyncio.Future[tuple[Message, list[int]]]] = {}
        self._received = bytearray()
        self._descriptors: deque[int] = deque()
        self.signals: asyncio.Queue[Message | None] = asyncio.Queue(64)
        """Signals as they come; None when the bus is gone. When it is full the newest is dropped."""

    async def __aenter__(self) -> Bus:
        """Connect, authenticate and say hello. Raises BusError."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                self._socket.setblocking(False)
                await asyncio.get_running_loop().sock_connect(self._socket, _path(self._address))
                await self._authenticate()
        except (OSError, ValueError, TimeoutError) as error:
            self._socket.close()
            raise BusError(f"{self._address}: {error or 'no answer'}") from error
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)
        await self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        self._end("the connection was closed")
        for descriptor in self._descriptors:
            os.close(descriptor)

    async def match(self, rule: str) -> None:
        """Ask for signals. Raises BusError."""
        bus = "org.freedesktop.DBus"
        await self.call(bus, "/org/freedesktop/DBus", bus, "AddMatch", "s", rule)

    async def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        """Call a method; gives its results, file descriptors in place of their indexes. Raises BusError."""
        self._serial += 1
        message = Message(
            dbuswire.CALL,
            self._serial,
            path=path,
            interface=interface,
            member=member,
            destination=destination,
            signature=signature,
            body=list(body),
        )
        future: asyncio.Future[tuple[Message, list[int]]] = asyncio.get_running_loop().create_future()
        self._pending[self._serial] = future
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await asyncio.get_running_loop().sock_sendall(self._socket, dbuswire.encode(message))
                answer, descriptors = await future
        except TimeoutError:
            raise BusError(f"{destination} did not answer {member}") from None
        except OSError as error:
            raise BusError(f"{self._address}: {error}") from error
        finally:
            self._pending.pop(message.serial, None)
        if answer.kind == dbuswire.ERROR:
            text = answer.body[0] if answer.signature.startswith("s") else ""
            raise BusError(f"{member}: {answer.error}: {text}")
        kinds = answer.signature if set(answer.signature) <= set("ybnqiuxtdsogh") else ""
        return [
            descriptors[value] if kind == "h" else value
            for kind, value in zip(kinds.ljust(len(answer.body)), answer.body, strict=True)
        ]

    async def _authenticate(self) -> None:
        identity = str(os.geteuid()).encode().hex().encode()
        for line, answer in (
            (b"\0AUTH EXTERNAL " + identity, b"OK"),
            (b"NEGOTIATE_UNIX_FD", b"AGREE_UNIX_FD"),
        ):
            await asyncio.get_running_loop().sock_sendall(self._socket, line + b"\r\n")
            said = await asyncio.get_running_loop().sock_recv(self._socket, 512)
            if not said.startswith(answer):
                raise ValueError(f"it refuses: {said.decode(errors='replace').strip()}")
        await asyncio.get_running_loop().sock_sendall(self._socket, b"BEGIN\r\n")

    def _readable(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 65536, MOST_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(str(error))
            return
        if not data:
            self._end("the bus closed the connection")
            return
        self._received += data
        self._descriptors.extend(descriptors)
        try:
            self._take()
        except ValueError as error:
            self._end(str(error))

    def _take(self) -> None:
        while len(self._received) >= FIXED:
            size = dbuswire.length(bytes(self._received[:FIXED]))
            if len(self._received) < size:
                return
            message = dbuswire.decode(bytes(self._received[:size]))
            del self._received[:size]
            came = [self._descriptors.popleft() for _ in range(message.descriptors) if self._descriptors]
            self._deliver(message, came)

    def _deliver(self, message: Message, descriptors: list[int]) -> None:
        waiting = self._pending.get(message.reply_to)
        if message.kind in (dbuswire.RETURN, dbuswire.ERROR) and waiting is not None and not waiting.done():
            waiting.set_result((message, descriptors))
            return
        for descriptor in descriptors:
            os.close(descriptor)
        if message.kind == dbuswire.SIGNAL and not self.signals.full():
            self.signals.put_nowait(message)

    def _end(self, why: str) -> None:
        if self._socket.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(BusError(f"{self._address}: {why}"))
        if self.signals.full():
            self.signals.get_nowait()
        self.signals.put_nowait(None)


def _path(address: str) -> str:
    """The socket's path of the first address that has one. Raises ValueError."""
    for one in address.split(";"):
        kind, _, rest = one.partition(":")
        keys = dict(pair.split("=", 1) for pair in rest.split(",") if "=" in pair)
        if kind == "unix" and "path" in keys:
            return keys["path"]
        if kind == "unix" and "abstract" in keys:
            return "\0" + keys["abstract"]
    raise ValueError("only unix sockets are spoken to")
