"""Connecting to where a request goes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Protocol, TypeVar

from edgelab.daemon import sockets
from edgelab.edgesite.apiserver.relay import gowords
from edgelab.edgesite.apiserver.relay.places import Place

DIAL_SECONDS = 30.0
HANDSHAKE_SECONDS = 10.0
KEEPALIVE_SECONDS, PROBES = 30, 5
"""A peer whose power was cut is noticed within three minutes."""
Handler = TypeVar("Handler", bound=asyncio.Protocol)


class Unreached(Exception):
    """There is no connection; the text is Go's."""


class Trust(Protocol):
    """How TLS is spoken."""

    def context(self, place: Place) -> ssl.SSLContext | None:
        """None for a place without TLS."""
        ...


async def dial(place: Place, trust: Trust, make: Callable[[], Handler]) -> Handler:
    """A connected protocol. Raises Unreached."""
    context = trust.context(place)
    connected = await _connected(place)
    keep_alive(connected)
    loop = asyncio.get_running_loop()
    try:
        if context is None:
            return (await loop.create_connection(make, sock=connected))[1]
        return (
            await loop.create_connection(
                make,
                sock=connected,
                ssl=context,
                server_hostname=place.host,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        )[1]
    except (OSError, ssl.SSLError, TimeoutError) as error:
        connected.close()
        raise Unreached(gowords.not_secured(place.host, error)) from error
    except BaseException:
        connected.close()
        raise


async def _connected(place: Place) -> socket.socket:
    """A socket to the first address that answers; the first failure is told, as in Go."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Unreached(gowords.not_resolved(place.host, error)) from error
    except UnicodeError as error:
        raise Unreached(f"dial tcp: lookup {place.host}: no such host") from error
    failure: Unreached | None = None
    for family, kind, protocol, _, address in found:
        attempt = socket.socket(family, kind, protocol)
        try:
            attempt.setblocking(False)
            async with asyncio.timeout(DIAL_SECONDS / len(found)):
                await loop.sock_connect(attempt, address)
            return attempt
        except OSError as error:
            attempt.close()
            if failure is None:
                failure = Unreached(gowords.not_connected(str(address[0]), place.port, error))
        except BaseException:
            attempt.close()
            raise
    raise failure or Unreached(f"dial tcp: lookup {place.host}: no such host")


def keep_alive(connected: socket.socket) -> None:
    """Have the kernel find out whether the peer is still there."""
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sockets.keep_alive(connected, KEEPALIVE_SECONDS, KEEPALIVE_SECONDS, PROBES)
