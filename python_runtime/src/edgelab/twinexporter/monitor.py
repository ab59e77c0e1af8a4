"""`/healthz` and `/metrics` of the exporter itself, on one local port."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from aiohttp import web

from edgelab.daemon.errors import Fatal
from edgelab.kube.informer import Informer
from edgelab.twinexporter.samples import Twins
from edgelab.twinexporter.writer import Writer

PREFIX = "edgelab_twinexporter"


class Monitor:
    """A module that serves until cancelled."""

    name = "monitor"

    def __init__(self, listen: str, twins: Twins, writer: Writer, informers: list[Informer]) -> None:
        self._listen = listen
        self._twins = twins
        self._writer = writer
        self._informers = informers
        self.port = 0
        """The port in use, once it serves."""

    async def run(self) -> None:
        """Serve. Raises Fatal when the port is taken."""
        host, _, port = self._listen.rpartition(":")
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, host.strip("[]"), int(port)).start()
            except (OSError, ValueError) as error:
                raise Fatal(f"cannot listen on {self._listen}: {error}") from None
            self.port = runner.addresses[0][1]
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    def troubles(self) -> list[str]:
        """What is wrong now, one line each."""
        found = [
            f"{i.resource.plural}: {i.last_error or 'not listed yet'}"
            for i in self._informers
            if i.last_error or not i.synced
        ]
        return [*found, *([f"database: {self._writer.trouble}"] if self._writer.trouble else [])]

    async def _healthz(self, _request: web.Request) -> web.Response:
        troubles = self.troubles()
        return web.Response(text="\n".join(troubles or ["ok"]) + "\n", status=503 if troubles else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        counters = {**asdict(self._twins.counters), **asdict(self._writer.written)}
        lines = []
        for name, value in counters.items():
            lines += [f"# TYPE {PREFIX}_{name}_total counter", f"{PREFIX}_{name}_total {value}"]
        lines += [f"# TYPE {PREFIX}_waiting_lines gauge", f"{PREFIX}_waiting_lines {self._writer.waiting}"]
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain", charset="utf-8")
