"""Headers of a request on its way through (`net/http/httputil`, `apimachinery/pkg/util/net`)."""

from __future__ import annotations

from aiohttp import web
from multidict import CIMultiDict

HOP_BY_HOP = (
    "Connection",
    "Proxy-Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Te",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
)
OURS = ("Authorization", "Host", "Content-Length", "Transfer-Encoding", "Expect")
"""Credentials are for us alone; the others are written anew."""
PREFIXES = ("impersonate-", "x-remote-")


def copied(request: web.Request) -> CIMultiDict[str]:
    """The client's headers, without its credentials."""
    headers = CIMultiDict(request.headers)
    for name in (*OURS, *[name for name in headers if name.lower().startswith(PREFIXES)]):
        headers.popall(name, None)
    return headers


def forwarded_for(headers: CIMultiDict[str], request: web.Request) -> None:
    """Who asked."""
    before = [value for value in headers.getall("X-Forwarded-For", []) if value]
    headers["X-Forwarded-For"] = ", ".join([*before, *([request.remote] if request.remote else [])])


def drop_hop_by_hop(headers: CIMultiDict[str]) -> None:
    """What is said to the next hop only."""
    trailers = "trailers" in tokens(headers, "Te")
    for name in (*tokens(headers, "Connection"), *HOP_BY_HOP):
        headers.popall(name, None)
    if trailers:
        headers["Te"] = "trailers"


def tokens(headers: CIMultiDict[str], name: str) -> list[str]:
    """The comma-separated words of a header, in lower case."""
    words = ",".join(headers.getall(name, [])).lower().split(",")
    return [word.strip() for word in words if word.strip()]


def is_upgrade(request: web.Request) -> bool:
    """`httpstream.IsUpgradeRequest`."""
    return any("upgrade" in value.lower() for value in request.headers.getall("Connection", []))


def is_websocket(request: web.Request) -> bool:
    """`wsstream.IsWebSocketRequest`."""
    return is_upgrade(request) and request.headers.get("Upgrade", "").lower() == "websocket"


def subprotocols(request: web.Request) -> list[str]:
    """What a WebSocket client offers."""
    offered = request.headers.getall("Sec-WebSocket-Protocol", [])
    return [word.strip() for value in offered for word in value.split(",") if word.strip()]
