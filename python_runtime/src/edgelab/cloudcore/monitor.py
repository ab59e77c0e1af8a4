"""The monitor address (`commonConfig.monitorServer`): /metrics, /healthz, /readyz, /livez.

/metrics is where the original has it; the others are kube-apiserver's: `?verbose` lists the checks, and what
fails is always listed. /healthz and /readyz say whether nodes can be served, /livez that the process is not
stuck.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable

from aiohttp import web

from edgelab.cloudcore.metrics import CONTENT_TYPE, Family, exposition
from edgelab.cloudcore.state import Check


class Monitor:
    """A module: serves on `sock` until cancelled."""

    name = "monitor"

    def __init__(
        self,
        sock: socket.socket,
        checks: Callable[[], Iterable[Check]],
        families: Callable[[], Iterable[Family]],
    ) -> None:
        self._sock = sock
        self._checks = checks
        self._families = families

    async def run(self) -> None:
        """Serve until cancelled."""
        app = web.Application()
        routes = {
            "/healthz": self._ready,
            "/readyz": self._ready,
            "/livez": self._live,
            "/metrics": self._numbers,
        }
        app.add_routes([web.get(path, handler) for path, handler in routes.items()])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, self._sock).start()
            await asyncio.get_running_loop().create_future()
        finally:
            await runner.cleanup()

    async def _ready(self, request: web.Request) -> web.Response:
        checks = list(self._checks())
        good = all(check.good for check in checks)
        lines = [_line(check) for check in checks if "verbose" in request.query or not check.good]
        text = "\n".join([*lines, "ok" if good else "not ready"])
        return web.Response(status=200 if good else 503, text=text)

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _numbers(self, _request: web.Request) -> web.Response:
        body = exposition(self._families()).encode()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


def _line(check: Check) -> str:
    detail = f": {check.detail}" if check.detail else ""
    return f"[+]{check.name} ok{detail}" if check.good else f"[-]{check.name} failed{detail}"
