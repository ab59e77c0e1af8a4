"""Asks kubelets what is used, as long as somebody wants to know.

Receives: the wish for recent readings (`recent`); nodes, from the store. Reads: `/metrics/resource` of each
Ready node, the first two times after `FIRST_SECONDS` of each other, then every `RESOLUTION` seconds, until
nobody has asked for `IDLE_SECONDS`. Stores: two readings of each, which it then forgets.
A kubelet that does not answer costs its own node's figures, and is named in the log once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.usage.history import RESOLUTION, History
from edgelab.edgesite.apiserver.usage.page import Reading, read
from edgelab.edgesite.store import Store
from edgelab.objects import metadata as meta

log = logging.getLogger("edgesite.usage")

Obj = dict[str, Any]
Ask = Callable[[str], Awaitable[bytes]]
"""The page of the node of a name; raises Unread."""

FIRST_SECONDS = 2.0
IDLE_SECONDS = 120.0
ANSWER_SECONDS = 5.0
"""How long a kubelet has for its page."""
WAIT_SECONDS = 15.0
"""How long somebody waits for the first readings, at most."""
AT_ONCE = 32


class Unread(Exception):
    """A kubelet's page could not be had; the text says why."""


class Collector:
    """A module."""

    name = "usage"

    def __init__(self, store: Store, ask: Ask, clock: Clock) -> None:
        self._store = store
        self._ask = ask
        self._clock = clock
        self._history = History()
        self._wanted = asyncio.Event()
        self._known = asyncio.Event()
        self._asked = 0.0
        self._silent: set[str] = set()

    async def recent(self) -> History:
        """What is used now; nodes that did not answer are missing."""
        self._asked = self._clock.monotonic()
        self._wanted.set()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._known.wait()
        except TimeoutError:
            log.warning("kubelets take long to say what is used")
        return self._history

    async def run(self) -> None:
        """Collect until cancelled."""
        while True:
            await self._wanted.wait()
            await self._round()
            await self._clock.sleep(FIRST_SECONDS)
            await self._round()
            self._known.set()
            while self._clock.monotonic() - self._asked < IDLE_SECONDS:
                await self._clock.sleep(RESOLUTION)
                await self._round()
            self._wanted.clear()
            self._known.clear()
            self._history = History()

    async def _round(self) -> None:
        nodes = [name for entry in self._store.entries("nodes") if (name := _ready(entry.data))]
        self._history.keep(set(nodes))
        self._silent.intersection_update(nodes)
        turns = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for node in nodes:
                group.create_task(self._read(node, turns), name=f"usage/{node}")

    async def _read(self, node: str, turns: asyncio.Semaphore) -> None:
        try:
            async with turns, asyncio.timeout(ANSWER_SECONDS):
                text = (await self._ask(node)).decode()
            reading = read(text, int(self._clock.now().timestamp() * 1000) * 1_000_000)
        except TimeoutError:
            self._complain(node, f"no answer within {ANSWER_SECONDS:g} s")
        except (Unread, ValueError) as error:
            self._complain(node, str(error))
        except Exception as error:  # what one node says of itself must not end the server
            self._complain(node, repr(error))
        else:
            self._history.add(node, reading)
            self._silent.discard(node)

    def _complain(self, node: str, why: str) -> None:
        self._history.add(node, Reading())
        if node not in self._silent:
            self._silent.add(node)
            log.warning("node %s does not say what is used: %s", node, why)


def _ready(data: bytes) -> str:
    """The name of a node that is Ready; empty for others, which are not asked."""
    node: Obj = codec.decode(data)
    ready = (meta.condition(node, "Ready") or {}).get("status") == "True"
    return str(node["metadata"]["name"]) if ready else ""
