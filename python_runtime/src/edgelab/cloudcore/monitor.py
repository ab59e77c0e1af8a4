"""/healthz and /metrics (Prometheus text) on the monitor address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping

from aiohttp import web


class Monitor:
    """A module: serves on `sock` until cancelled."""

    name = "monitor"

    def __init__(
        self, sock: socket.socket, healthy: Callable[[], bool], metrics: Callable[[], Mapping[str, float]]
    ) -> None:
        self._sock = sock
        self._healthy = healthy
        self._metrics = metrics

    async def run(self) -> None:
        """Serve until cancelled."""
        app = web.Application()
        app.add_routes([web.get("/healthz", self._health), web.get("/metrics", self._numbers)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.SockSite(runner, self._sock).start()
            await asyncio.get_running_loop().create_future()
        finally:
            await runner.cleanup()

    async def _health(self, _request: web.Request) -> web.Response:
        healthy = self._healthy()
        return web.Response(status=200 if healthy else 503, text="ok" if healthy else "not synced")

    async def _numbers(self, _request: web.Request) -> web.Response:
        lines = []
        for name, value in self._metrics().items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE {name} {kind}", f"{name} {value:g}"]
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain", charset="utf-8")
