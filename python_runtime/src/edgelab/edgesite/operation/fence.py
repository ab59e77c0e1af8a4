"""Keeps a site from being served twice: a box that was replaced by another one does not serve.

Each promotion and each restore begins a term, one above the last. A site that is told of its peers asks
them before it listens, and goes on asking: where a peer serves a later term, this one ends and says so,
so that a box that was thought to be dead for good is harmless when it comes back. A peer that cannot be
asked keeps nobody from serving; two boxes cannot tell a dead peer from a cut cable.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from pathlib import Path

import aiohttp
import msgspec
from aiohttp import web

from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.operation import datadir, wire
from edgelab.edgesite.store import Store

log = logging.getLogger("edgesite.fence")

ANSWER_SECONDS = 1.5
BETWEEN_SECONDS = 3.0


class Term(msgspec.Struct, frozen=True):
    """Which beginning of a site is served: `history` is its name, a later one has a greater `term`."""

    term: int
    history: int


class Fence:
    """A page that tells the term, and a module that asks peers for theirs. Raises Fatal for a later one.

    Peers are known by the CA that they share, and this one shows the administrator's certificate.
    """

    name = "fence"

    def __init__(self, data_dir: Path, store: Store, clock: Clock, peers: tuple[str, ...] = ()) -> None:
        self._data_dir = data_dir
        self._clock = clock
        self._peers = peers
        self._mine = Term(store.term, store.history)
        self._silent: set[str] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """The term of this site; None for another path."""
        if request.path != wire.TERM:
            return None
        return web.Response(body=msgspec.json.encode(self._mine), content_type="application/json")

    async def begin(self) -> None:
        """Insist, before anything is served, that no peer serves a site that began as late as this one."""
        for peer, found in (await self._ask()).items():
            if found.term == self._mine.term and found.history != self._mine.history:
                raise self._refusal(peer)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self._clock.sleep(BETWEEN_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spread, not secrecy
            for peer, found in (await self._ask()).items():
                if found.term == self._mine.term and found.history != self._mine.history:
                    log.error("%s serves this site, too; stop one of them", peer)

    async def _ask(self) -> dict[str, Term]:
        """What those that can be asked serve. Raises Fatal when one serves a later term."""
        if not self._peers:
            return {}
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        connector = aiohttp.TCPConnector(ssl=self._context(), force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            answers = await asyncio.gather(*(self._ask_one(http, peer) for peer in self._peers))
        found = {peer: term for peer, term in zip(self._peers, answers, strict=True) if term is not None}
        for peer, term in found.items():
            if term.term > self._mine.term:
                raise self._refusal(peer)
        return found

    def _context(self) -> ssl.SSLContext:
        tls = self._data_dir / datadir.KEYS
        context = ssl.create_default_context(cafile=str(tls / "ca.crt"))
        context.load_cert_chain(tls / "admin.crt", tls / "admin.key")
        return context

    async def _ask_one(self, http: aiohttp.ClientSession, peer: str) -> Term | None:
        try:
            async with http.get(f"{peer}{wire.TERM}") as answer:
                answer.raise_for_status()
                term = msgspec.json.decode(await answer.read(), type=Term)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            # A follower does not listen: that is what is to be expected of a peer, and worth one line.
            if peer not in self._silent:
                log.info("%s serves no site: %s", peer, error or "timeout")
            self._silent.add(peer)
            return None
        self._silent.discard(peer)
        return term

    def _refusal(self, peer: str) -> Fatal:
        return Fatal(
            f"{peer} has been made the site in place of this one, which does not serve any more: let this"
            " one follow it (`edgesite follow --force`), or stop that one and restore a backup here"
        )
