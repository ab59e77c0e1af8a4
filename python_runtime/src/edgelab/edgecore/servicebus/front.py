"""What programs on the node post for REST targets in the cloud (KubeEdge `edge/pkg/servicebus`).

`{"method": ..., "targetURL": ..., "payload": ...}`; the answer is always HTTP 200, with the outcome as JSON:
`{"code": 200, "msg": ..., "body": ...}`.
"""

from __future__ import annotations

import base64
from collections.abc import Container
from typing import Any

import msgspec

from edgelab.edgecore.interfaces import Hub, NoAnswer, Offline
from edgelab.edgecore.metamanager.metaserver.http import Request, Response
from edgelab.protocol import message as wire

LARGEST = 5 << 20
"""Bytes of one request; the original's."""
LARGEST_OF_ALL = 32 << 20
"""Bytes of requests that wait for the cloud."""


class Front:
    """Answers programs. `timeout`: seconds that the cloud has for its answer."""

    def __init__(self, hub: Hub, urls: Container[str], timeout: float) -> None:
        self._hub = hub
        self._urls = urls
        self._timeout = timeout
        self._size = 0

    async def handle(self, request: Request) -> Response:
        """The answer to one request."""
        url = _target_url(request.body)
        if not url:
            return outcome(400, "invalid params")
        if url not in self._urls:
            return outcome(400, f"url {url} is not allowed and please make a rule for this url in the cloud")
        if self._size + len(request.body) > LARGEST_OF_ALL:
            return outcome(503, "too many requests wait for the cloud")
        self._size += len(request.body)
        try:
            return await self._ask(url, request.body)
        finally:
            self._size -= len(request.body)

    async def _ask(self, url: str, body: bytes) -> Response:
        content = base64.b64encode(body).decode()  # bytes, as Go writes them
        question = wire.new(
            source="servicebus", group="user", operation="upload", resource=url, content=content
        )
        try:
            answer = await self._hub.request(question, self._timeout)
        except NoAnswer:
            return outcome(400, f"timeout to get response for message {question.id}")
        except Offline as error:
            return outcome(503, str(error))
        text = answer.data().decode()
        if answer.route.operation == "error":
            return outcome(502, text)
        return outcome(200, "receive response from cloud successfully", text)


def _target_url(body: bytes) -> str:
    """Where a program wants its request to go; empty when it does not say so as it must."""
    try:
        envelope: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    url = envelope.get("targetURL") if isinstance(envelope, dict) else None
    return url if isinstance(url, str) else ""


def outcome(code: int, text: str, body: str = "") -> Response:
    """An answer of this program's own."""
    return Response(200, msgspec.json.encode({"code": code, "msg": text, "body": body}))
