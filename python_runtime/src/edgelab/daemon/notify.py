"""sd_notify(3) without a library: readiness and status for systemd's Type=notify."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(**fields: str) -> None:
    """Send fields such as READY="1" or STATUS="joined" to systemd; nothing happens without it.

    Nor when nobody listens any more: a daemon goes on, and ends when it is told to, all the same.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    payload = "\n".join(f"{key}={value}" for key, value in fields.items()).encode()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    with sock, suppress(ConnectionRefusedError, FileNotFoundError):
        sock.sendto(payload, address)


def ready(status: str) -> None:
    """Tell systemd that the daemon serves."""
    notify(READY="1", STATUS=status)
