"""What the kernel does for connections by itself."""

from __future__ import annotations

import socket


def keep_alive(sock: socket.socket, idle: int, interval: int, probes: int | None = None) -> None:
    """Have TCP ask a peer that was silent for `idle` seconds, then every `interval` seconds, whether it is
    there; after so many probes without an answer (None: the kernel's number) the connection is dead."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    if probes is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, probes)
