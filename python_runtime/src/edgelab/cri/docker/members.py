"""Processes of Docker's containers, as this machine has them: to end one, to connect in its network.

A number from Docker is believed only when the kernel says that this process is in that container's group:
Docker may be in another process namespace, and numbers are used again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgelab.cri.errors import CriError

CLONE_NEWNET = 0x40000000
DIAL_SECONDS = 10.0
PROCESSES = Path("/proc")


def is_in(container: str, process: int) -> bool:
    """Whether the process belongs to a container, by its full id."""
    try:
        return process > 0 and container in (PROCESSES / str(process) / "cgroup").read_text()
    except OSError:
        return False


def kill(container: str, process: int) -> None:
    """SIGKILL a command in a container, and what it started in its process group (runc gives it one)."""
    try:
        handle = os.pidfd_open(process)  # from here on the number cannot be another's
    except OSError:
        return
    try:
        if not is_in(container, process):
            return
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process) == process:
                os.killpg(process, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)


async def dial(container: str, process: int, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to `port` of the loopback in the network of a container's process.

    A socket belongs to the network in which it was made, wherever it is used: only making it takes a thread
    of its own, which enters that network and ends. `nsenter` and `socat` did this for dockershim. Raises
    CriError, OSError.
    """
    last: OSError | None = None
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            made = _socket_of(container, process, family)
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


def _socket_of(container: str, process: int, family: int) -> socket.socket:
    try:
        network = os.open(PROCESSES / str(process) / "ns" / "net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise CriError("NOT_FOUND", f"container {container[:12]} does not run") from None
    try:
        if not is_in(container, process):  # after the open: the process whose network this is
            raise CriError(
                "UNIMPLEMENTED", f"process {process} of container {container[:12]} is not seen here"
            )
        return _in_a_thread(lambda: _make(network, family))
    finally:
        os.close(network)


def _make(network: int, family: int) -> socket.socket:
    """Runs in a thread that ends after it: the thread stays in that network. Raises OSError."""
    _enter(network)
    return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)


def _enter(network: int) -> None:
    if hasattr(os, "setns"):  # Python 3.12
        os.setns(network, CLONE_NEWNET)
        return
    import ctypes  # noqa: PLC0415 - only where Python has no setns, and only for ports

    if ctypes.CDLL(None, use_errno=True).setns(network, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"the pod's network cannot be entered: {os.strerror(number)}")


def _in_a_thread(work: Callable[[], socket.socket]) -> socket.socket:
    """Its result. No thread of a pool: what `work` does to its thread must end with it.

    It is waited for: a few system calls, of which none waits itself.
    """
    found: list[socket.socket | OSError] = []

    def run() -> None:
        try:
            found.append(work())
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=run, name="edgelab-netns")
    thread.start()
    thread.join()
    [result] = found
    if isinstance(result, OSError):
        raise result
    return result
