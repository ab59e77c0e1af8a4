"""GET requests of probes and hooks (kubelet `pkg/probe/http`): h11 on asyncio streams.

Certificates are not verified; redirects are followed on the same host only, ten at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

import h11

Obj = dict[str, Any]

REDIRECTS = 10
BODY_LIMIT = 10 * 1024
"""Bytes of an answer that are read."""

USER_AGENT = "kube-probe/1.32"


@dataclass(frozen=True, slots=True)
class Request:
    """Where to, with which headers (name, value)."""

    url: str
    headers: tuple[tuple[str, str], ...]

    @property
    def where(self) -> str:
        """`host:port` of the connection."""
        parts = urlsplit(self.url)
        return join(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and the beginning of the body; `elsewhere`: it leads to another host, which was not asked."""

    status: int
    body: str
    elsewhere: bool = False


def request(wanted: Obj, ip: str, port: int) -> Request:
    """From an `httpGet` action, its port resolved."""
    scheme = str(wanted.get("scheme") or "HTTP").lower()
    path = wanted.get("path") or "/"
    path = path if path.startswith("/") else f"/{path}"
    url = f"{scheme}://{join(wanted.get('host') or ip, port)}{path}"
    given = [(str(item["name"]), str(item.get("value", ""))) for item in wanted.get("httpHeaders") or []]
    names = {name.lower() for name, _ in given}
    # An empty Accept or User-Agent takes the default one out.
    given = [item for item in given if item[1] or item[0].lower() not in ("accept", "user-agent")]
    defaults = (("User-Agent", USER_AGENT), ("Accept", "*/*"))
    return Request(url, (*(item for item in defaults if item[0].lower() not in names), *given))


async def get(wanted: Request) -> Answer:
    """The answer at the end of all redirects. Raises OSError, ValueError (no HTTP, too many redirects)."""
    first = urlsplit(wanted.url).hostname
    for _ in range(REDIRECTS):
        status, body, location = await _once(wanted)
        if status not in (301, 302, 303, 307, 308) or not location:
            return Answer(status, body)
        target = urljoin(wanted.url, location)
        if urlsplit(target).hostname != first:
            return Answer(status, body, elsewhere=True)
        wanted = replace(wanted, url=target)
    raise ValueError(f"stopped after {REDIRECTS} redirects")


def join(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _once(wanted: Request) -> tuple[int, str, str]:
    parts = urlsplit(wanted.url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=_context() if secure else None)
    try:
        connection = h11.Connection(h11.CLIENT)
        own = next((value for name, value in wanted.headers if name.lower() == "host"), parts.netloc)
        headers = [("Host", own), *(item for item in wanted.headers if item[0].lower() != "host")]
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        head = h11.Request(method="GET", target=target or "/", headers=[*headers, ("Connection", "close")])
        writer.write((connection.send(head) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        return await _answer(connection, reader)
    except h11.ProtocolError as error:
        raise ValueError(f"malformed HTTP response: {error}") from None
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, str, str]:
    status, location, body = 0, "", b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(16384))
        elif isinstance(event, h11.Response):
            status = event.status_code
            location = next(
                (value.decode("latin-1") for name, value in event.headers if name == b"location"), ""
            )
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
            if len(body) >= BODY_LIMIT:
                break
        elif isinstance(event, h11.EndOfMessage):
            break
        elif isinstance(event, h11.ConnectionClosed):
            raise ValueError("EOF")
    return status, body[:BODY_LIMIT].decode(errors="replace"), location


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
