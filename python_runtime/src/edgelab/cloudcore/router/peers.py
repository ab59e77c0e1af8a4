"""Errands for other CloudCores: messages for nodes that they have.

Receives: what rules lead to such a node. Sends: one request to that CloudCore's router, once. Stores nothing.
Over HTTPS the other one is known by its certificate's fingerprint, which its Lease tells; over both, by the
seal of its answer. When it cannot be reached, 503: the message was not sent. When the connection ends after
that, 502: the other one may have it. Bound: `MOST` errands at a time, one more is 503.
"""

from __future__ import annotations

import asyncio
import functools
import io
import secrets
from collections import Counter

import aiohttp

from edgelab.cloudcore.router import errands
from edgelab.cloudcore.router.deliveries import Answer, Call
from edgelab.cloudcore.router.errands import BadErrand, Errand, Outcome, Request, Sealed
from edgelab.cloudcore.router.errors import RETRY_SECONDS, Undeliverable, away
from edgelab.cloudcore.router.neighbours import Neighbours, Way
from edgelab.cloudcore.router.sessions import session
from edgelab.kube.informer import Key

MOST = 256
CONNECT_SECONDS = 5.0
MARGIN = 0.5
"""Seconds that the other one's answer needs to be back in time."""


class Peers:
    """The HTTP client; use as an async context manager. Deadlines are seconds of the loop's clock."""

    def __init__(self, neighbours: Neighbours, sealed: Sealed) -> None:
        self._neighbours = neighbours
        self._sealed = sealed
        self._client: aiohttp.ClientSession | None = None
        self._under_way = 0
        self.counts: Counter[str] = Counter()
        """Errands by what became of them: `delivered`, `kept`, `failed`."""

    async def __aenter__(self) -> Peers:
        """Open it."""
        self._client = session(MOST)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        assert self._client is not None
        await self._client.close()

    def way(self, node: str) -> tuple[str, Way] | None:
        """The other CloudCore that has the node; None for none. Raises Undeliverable for one without a
        router that others may ask."""
        other = self._neighbours.other(node)
        if not other:
            return None
        way = self._neighbours.way(other)
        if way is None:
            text = f"node {node} is connected to CloudCore {other}; send it there"
            raise Undeliverable(503, text, retry_after=RETRY_SECONDS)
        return other, way

    async def publish(
        self, rule: Key, node: str, topic: str, body: bytes, deadline: float, *, keep: bool
    ) -> bool:
        """Have the node publish; False when the other one keeps the message. Raises Undeliverable."""
        errand = Errand(node, _left(deadline), rule, topic, keep)
        outcome, _ = await self._run(errand, body, deadline)
        return not outcome.kept

    async def call(self, node: str, call: Call, deadline: float) -> Answer:
        """Have the node call a service. Raises Undeliverable."""
        header = {name: list(values) for name, values in call.header.items()}
        request = Request(call.method, call.resource, header)
        outcome, body = await self._run(Errand(node, _left(deadline), request=request), call.body, deadline)
        return Answer(outcome.status, outcome.header, body)

    async def _run(self, errand: Errand, body: bytes, deadline: float) -> tuple[Outcome, bytes]:
        try:
            outcome, answer = await self._bounded(errand, body, deadline)
            if outcome.error:
                raise Undeliverable(outcome.status, outcome.error, retry_after=outcome.retry_after)
        except BaseException:
            self.counts["failed"] += 1
            raise
        self.counts["kept" if outcome.kept else "delivered"] += 1
        return outcome, answer

    async def _bounded(self, errand: Errand, body: bytes, deadline: float) -> tuple[Outcome, bytes]:
        found = self.way(errand.node)
        if found is None:
            raise away(errand.node)
        if self._under_way >= MOST:
            raise Undeliverable(503, "the router has too much to do", retry_after=1)
        self._under_way += 1
        try:
            return await self._ask(*found, errands.pack(errand, body), deadline)
        finally:
            self._under_way -= 1

    async def _ask(self, other: str, way: Way, data: bytes, deadline: float) -> tuple[Outcome, bytes]:
        number = secrets.token_urlsafe(16)
        ticket = self._sealed.ticket(other, number, data)
        try:
            async with asyncio.timeout_at(deadline):
                sealed, status, answer = await self._exchange(way, ticket, data)
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ServerFingerprintMismatch,
            aiohttp.ConnectionTimeoutError,
        ) as error:
            text = (
                f"CloudCore {other}, which has the node, cannot be reached: {error or type(error).__name__}"
            )
            raise Undeliverable(503, text, retry_after=RETRY_SECONDS) from None
        except TimeoutError:
            raise Undeliverable(504, f"CloudCore {other}, which has the node: no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            text = f"CloudCore {other}, which has the node: {error or type(error).__name__}"
            raise Undeliverable(502, text) from None
        return self._outcome(other, number, sealed, status, answer)

    async def _exchange(self, way: Way, ticket: str, data: bytes) -> tuple[str, int, bytes]:
        """The answer's seal, status and body."""
        assert self._client is not None
        async with self._client.post(
            way.url + errands.PATH,
            data=io.BytesIO(data),
            headers={errands.HEADER: ticket, "Content-Type": "application/octet-stream"},
            ssl=_pinned(way.fingerprint) if way.fingerprint else True,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > errands.LARGEST_BODY:
                    raise ValueError("its answer is too large")
            return response.headers.get(errands.HEADER, ""), response.status, bytes(body)

    def _outcome(
        self, other: str, number: str, sealed: str, status: int, answer: bytes
    ) -> tuple[Outcome, bytes]:
        """What it answered, if it was the right one that did. Raises Undeliverable."""
        try:
            if not sealed:
                raise BadErrand(f"status {status}: {answer[:200].decode('utf-8', 'replace').strip()}")
            ticket = self._sealed.read(sealed)
            if (ticket.sender, ticket.number) != (other, number) or not errands.is_of(ticket, answer):
                raise BadErrand("its answer is to something else")
            return errands.unpack(answer, Outcome)
        except BadErrand as error:
            text = f"CloudCore {other}, which has the node, did not take the message: {error}"
            taken = bool(sealed) or status in (200, 500, 502, 504)
            raise Undeliverable(
                502 if taken else 503, text, retry_after=None if taken else RETRY_SECONDS
            ) from None


@functools.lru_cache(maxsize=64)
def _pinned(fingerprint: str) -> aiohttp.Fingerprint:
    """One object for each: connections are kept by it. Raises ValueError for what is none."""
    return aiohttp.Fingerprint(bytes.fromhex(fingerprint))


def _left(deadline: float) -> float:
    return max(0.1, round(deadline - asyncio.get_running_loop().time() - MARGIN, 3))
