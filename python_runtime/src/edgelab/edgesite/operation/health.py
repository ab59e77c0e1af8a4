"""`/livez`, `/readyz` and `/healthz`, worded as kube-apiserver does (`apiserver/pkg/server/healthz`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from aiohttp import web

log = logging.getLogger("edgesite.health")

ROOTS = ("healthz", "livez", "readyz")
PATIENCE_SECONDS = 2.0
"""How long a check may take; kube-apiserver gives etcd as long."""


class Unhealthy(Exception):
    """Why a check failed."""


class Check(NamedTuple):
    """`test` raises Unhealthy. `aliases` are what kube-apiserver calls the like."""

    name: str
    test: Callable[[], Awaitable[None]]
    aliases: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """All that it answers to."""
        return {self.name, *self.aliases}


class Health:
    """What has to be well for the process to live, and what more for it to be ready."""

    def __init__(self, live: Iterable[Check], ready: Iterable[Check]) -> None:
        ping = Check("ping", _nothing, ("log",))
        live = [ping, *live]
        self._checks = {"healthz": live, "livez": live, "readyz": [ping, *ready]}

    async def answer(self, path: str, query: Mapping[str, str], excluded: list[str]) -> web.Response | None:
        """The answer for a path below one of ROOTS; None for a check that nobody knows."""
        root, slash, name = path.removeprefix("/").partition("/")
        checks = self._checks.get(root)
        if checks is None:
            return None
        if not slash:
            return await self._all(root, checks, set(excluded), verbose="verbose" in query)
        found = next((check for check in checks if name in check.names), None)
        return None if found is None else await self._one(found)

    async def _all(
        self, root: str, checks: list[Check], excluded: set[str], *, verbose: bool
    ) -> web.Response:
        lines, failed = [], []
        for check in checks:
            if named := excluded & check.names:
                excluded -= named
                lines.append(f"[+]{check.name} excluded: ok\n")
            elif (why := await _why(check)) is None:
                lines.append(f"[+]{check.name} ok\n")
            else:
                lines.append(f"[-]{check.name} failed: reason withheld\n")
                failed.append(f"{check.name}: {why}")
        if excluded:
            names = ",".join(f'"{name}"' for name in sorted(excluded))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}\n")
        if failed:
            log.warning("%s check failed: %s", root, "; ".join(failed))
            return _text(f"{''.join(lines)}{root} check failed\n", 500)
        return _text(f"{''.join(lines)}{root} check passed\n" if verbose else "ok")

    @staticmethod
    async def _one(check: Check) -> web.Response:
        why = await _why(check)
        return _text("ok") if why is None else _text(f"internal server error: {why}\n", 500)


async def _why(check: Check) -> str | None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await check.test()
    except Unhealthy as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {PATIENCE_SECONDS:g} s"
    return None


async def _nothing() -> None:
    return


def _text(text: str, status: int = 200) -> web.Response:
    headers = {"X-Content-Type-Options": "nosniff", "Content-Type": "text/plain; charset=utf-8"}
    return web.Response(body=text.encode(), status=status, headers=headers)
