"""POST to REST targets.

A message is sent once: whether a target that answers with an error has taken it is not known here. No
redirect is followed. Connections are kept and bounded; certificates are checked unless the rule says
otherwise (the original never checks).
"""

from __future__ import annotations

import asyncio
import io
from typing import NamedTuple

import aiohttp

from edgelab.cloudcore.router.errors import Undeliverable
from edgelab.cloudcore.router.sessions import session

CONNECTIONS, OF_ONE_TARGET = 256, 16
CONNECT_SECONDS = 10.0
PIECE = 64 << 10
"""Bytes that are sent at once; of larger bodies, piece by piece."""
LARGEST_ANSWER = 1 << 20
"""Bytes of an answer that are kept; the rest is not read."""


class Reply(NamedTuple):
    """What a target answered."""

    status: int
    body: bytes


class Outward:
    """The HTTP client; use as an async context manager."""

    def __init__(self) -> None:
        self._client: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Outward:
        """Open it."""
        self._client = session(CONNECTIONS, OF_ONE_TARGET)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        assert self._client is not None
        await self._client.close()

    async def post(
        self, url: str, body: bytes, deadline: float, *, verify: bool = True, content_type: str = ""
    ) -> Reply:
        """Send `body`; gives a 2xx answer. `deadline`: seconds of the loop's clock. Raises Undeliverable."""
        assert self._client is not None
        headers = {"Content-Type": content_type} if content_type else {}
        try:
            async with (
                asyncio.timeout_at(deadline),
                self._client.post(
                    url,
                    data=io.BytesIO(body) if len(body) > PIECE else body,
                    headers=headers,
                    skip_auto_headers=() if content_type else ("Content-Type",),
                    ssl=verify,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                ) as response,
            ):
                reply = Reply(response.status, await _beginning(response))
        except TimeoutError:
            raise Undeliverable(504, f"{url}: no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Undeliverable(502, f"{url}: {error or type(error).__name__}") from None
        if not 200 <= reply.status <= 299:
            text = reply.body[:200].decode("utf-8", "replace").strip()
            raise Undeliverable(502, f"{url}: status {reply.status}{': ' if text else ''}{text}")
        return reply


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The answer's first bytes; the connection of a longer one is closed."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= LARGEST_ANSWER:
            response.close()
            break
    return bytes(body[:LARGEST_ANSWER])
