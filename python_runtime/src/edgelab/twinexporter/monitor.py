"""`/healthz`, and `/metrics` with the exporter's own counters and the devices' values, on one local port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from aiohttp import web

from edgelab.daemon.errors import Fatal
from edgelab.kube.informer import Informer
from edgelab.twinexporter.checkpoint import Checkpoint
from edgelab.twinexporter.gauges import ESCAPES, Gauges, collected
from edgelab.twinexporter.pipe import Pipe, Written
from edgelab.twinexporter.samples import Twins

PREFIX = "edgelab_twinexporter"


class Monitor:
    """A module that serves until cancelled."""

    name = "monitor"

    def __init__(
        self,
        listen: str,
        twins: Twins,
        pipes: Sequence[Pipe],
        informers: Sequence[Informer],
        checkpoint: Checkpoint,
        *,
        devices: bool = True,
    ) -> None:
        """`devices`: whether /metrics has the values of device twins."""
        self._listen = listen
        self._twins = twins
        self._pipes = pipes
        self._informers = informers
        self._checkpoint = checkpoint
        self._devices = devices
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
        for pipe in self._pipes:
            if pipe.trouble:
                where = "" if len(self._pipes) == 1 else f" {pipe.sink.name}"
                found.append(f"database{where}: {pipe.trouble}")
        return [*found, *([f"checkpoint: {self._checkpoint.trouble}"] if self._checkpoint.trouble else [])]

    async def _healthz(self, _request: web.Request) -> web.Response:
        troubles = self.troubles()
        return web.Response(text="\n".join(troubles or ["ok"]) + "\n", status=503 if troubles else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        gauges = Gauges()
        if self._devices:
            for gauges in collected(self._twins):  # noqa: B007 - the last one is the whole
                await asyncio.sleep(0)
        text = "\n".join([*self._own(), *_metric("gauges_left_out", "gauge", {"": gauges.left_out})])
        body = f"{text}\n{gauges.text()}".encode("utf-8", "replace")
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    def _own(self) -> Iterator[str]:
        for name, value in asdict(self._twins.counters).items():
            yield from _metric(f"{name}_total", "counter", {"": value})
        for name in asdict(Written()):
            each = {pipe.sink.name: getattr(pipe.written, name) for pipe in self._pipes}
            yield from _metric(f"{name}_total", "counter", {"": sum(each.values())})
            yield from _metric(f"database_{name}_total", "counter", each)
        waiting = {pipe.sink.name: pipe.waiting for pipe in self._pipes}
        yield from _metric("waiting_lines", "gauge", {"": sum(waiting.values())})
        yield from _metric("database_waiting_lines", "gauge", waiting)
        up = {pipe.sink.name: int(not pipe.trouble) for pipe in self._pipes}
        yield from _metric("database_up", "gauge", up)


def _metric(name: str, kind: str, values: dict[str, int]) -> Iterator[str]:
    """One family: a value for each database, or one without a label."""
    if values:
        yield f"# TYPE {PREFIX}_{name} {kind}"
    for database, value in values.items():
        labels = f'{{database="{database.translate(ESCAPES)}"}}' if database else ""
        yield f"{PREFIX}_{name}{labels} {value}"
