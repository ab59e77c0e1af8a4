"""TCP connections inside a pod's network, from a process that is outside of it.

Docker keeps each network as a file (`NetworkSettings.SandboxKey`), which root may open; /proc/PID/ns takes
CAP_SYS_PTRACE, which EdgeCore's unit has not. A socket belongs to the network in which it was made, wherever
it is used: only making it takes a thread of its own, which enters that network and ends. dockershim ran
`nsenter` and `socat` for this.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading

from edgelab.cri.errors import CriError

CLONE_NEWNET = 0x40000000
DIAL_SECONDS = 10.0


async def dial(network: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to `port` of the loopback of a network; without a file's name of this host's.

    Raises CriError when the network cannot be entered, OSError when nobody listens.
    """
    last: OSError | None = None
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            made = _socket_of(network, family)
            try:
                made.setblocking(False)
                async with asyncio.timeout(DIAL_SECONDS):
                    await asyncio.get_running_loop().sock_connect(made, (address, port))
            except BaseException:
                made.close()
                raise
        except TimeoutError:
            last = last or TimeoutError(f"no answer within {DIAL_SECONDS:g} s")
        except OSError as error:
            last = last or OSError(error.errno, os.strerror(error.errno or 0))  # without asyncio's words
        else:
            return await asyncio.open_connection(sock=made)
    assert last is not None
    raise last


def _socket_of(network: str, family: int) -> socket.socket:
    """Raises CriError, OSError."""
    if not network:
        return socket.socket(family, socket.SOCK_STREAM)
    try:
        namespace = os.open(network, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CriError(
            "UNAVAILABLE", f"the pod's network {network} cannot be opened: {error.strerror}"
        ) from None
    try:
        return _made_inside(namespace, network, family)
    finally:
        os.close(namespace)


def _made_inside(namespace: int, network: str, family: int) -> socket.socket:
    """No thread of a pool: it stays in that network. It is waited for: none of its few calls waits itself."""
    found: list[socket.socket | OSError | CriError] = []

    def work() -> None:
        try:
            enter(namespace)
        except OSError as error:
            why = f"the pod's network {network} cannot be entered: {error.strerror}"
            found.append(CriError("UNAVAILABLE", why))
            return
        try:
            found.append(socket.socket(family, socket.SOCK_STREAM))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=work, name="edgelab-netns")
    thread.start()
    thread.join()
    [result] = found
    if isinstance(result, Exception):
        raise result
    return result


def enter(namespace: int) -> None:
    """The calling thread goes on in this network. Raises OSError."""
    if hasattr(os, "setns"):  # Python 3.12
        os.setns(namespace, CLONE_NEWNET)
        return
    import ctypes  # noqa: PLC0415 - only where Python has no setns, and only for ports

    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
