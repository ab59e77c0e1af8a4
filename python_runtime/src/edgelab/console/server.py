"""The HTTP side: the page's files, the stream of rows, curves, logs, and /healthz."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from aiohttp import web

from edgelab.console.board import Board
from edgelab.console.guard import Guard, add_headers
from edgelab.console.health import Health
from edgelab.console.logs import Logs, NoLog
from edgelab.console.pages import files
from edgelab.console.queries import RANGES
from edgelab.console.series import Series
from edgelab.console.stream import Stream
from edgelab.daemon.errors import Fatal, Unreachable
from edgelab.daemon.notify import ready

SHUTDOWN_SECONDS = 0.5
IDLE_SECONDS = 15.0


class Server:
    """A module: serves on each of `listen` (ADDRESS:PORT) until cancelled, and tells systemd when it does."""

    name = "server"

    def __init__(
        self,
        listen: Sequence[str],
        *,
        guard: Guard,
        board: Board,
        health: Health,
        series: Series,
        stream: Stream,
        logs: Logs | None,
    ) -> None:
        self._listen = listen
        self._guard = guard
        self._board = board
        self._health = health
        self._series = series
        self._stream = stream
        self._logs = logs
        self.ports: list[int] = []
        """The ports in use, once it serves."""

    async def run(self) -> None:
        """Serve. Raises Fatal when a port is taken."""
        runner = web.AppRunner(
            self._app(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, keepalive_timeout=IDLE_SECONDS
        )
        await runner.setup()
        try:
            for listen in self._listen:
                await self._open(runner, listen)
            self.ports = [address[1] for address in runner.addresses]
            ready(f"serving on {', '.join(self._listen)}")
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _open(self, runner: web.AppRunner, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            raise Fatal(f"cannot listen on {listen}: {error.strerror or error}") from None

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard.check])
        app.on_response_prepare.append(add_headers)
        for path, file in files().items():
            app.router.add_get(path, file.answer)
        app.router.add_get("/api/events", self._stream.answer)
        app.router.add_get("/api/series", self._curves)
        app.router.add_get("/api/log", self._log)
        app.router.add_get("/healthz", self._healthz)
        return app

    async def _healthz(self, _request: web.Request) -> web.Response:
        """200 when all is followed; 503 and the names of what is not. It needs no password, so no reasons."""
        wrong = self._health.parts()
        lines = [f"{part} cannot be read" for part in wrong] or ["ok"]
        return web.Response(text="\n".join(lines) + "\n", status=503 if wrong else 200)

    async def _curves(self, request: web.Request) -> web.Response:
        """`?device=NAMESPACE/NAME&seconds=900`: points of each property; 503 while the database is gone."""
        device, seconds = request.query.get("device", ""), request.query.get("seconds", "")
        if seconds not in map(str, RANGES):
            return _json({"error": f"seconds: expected one of {', '.join(map(str, RANGES))}"}, 400)
        if ("devices", device) not in self._board:
            return _json({"error": "device: there is none of this name"}, 404)
        namespace, _, name = device.partition("/")
        try:
            found = await self._series.curves(namespace, name, int(seconds))
        except Unreachable:
            return _json({"error": "the time-series database does not answer"}, 503)
        return _json({"curves": found.curves, "to": found.to})

    async def _log(self, request: web.Request) -> web.Response:
        """`?pod=NAMESPACE/NAME&container=NAME`: the last lines, or `error` with the reason for none."""
        pod, container = request.query.get("pod", ""), request.query.get("container", "")
        if self._logs is None:
            return _json({"error": "logs are switched off: `logs` in console.yaml"}, 403)
        row = self._board.row("pods", pod)
        if row is None:
            return _json({"error": "pod: there is none of this name"}, 404)
        if container not in row["containers"]:
            return _json({"error": f"container: pod {pod} has none of this name"}, 404)
        namespace, _, name = pod.partition("/")
        try:
            return _json({"log": await self._logs.last(namespace, name, container)})
        except NoLog as reason:
            return _json({"error": str(reason)})


def _json(data: object, status: int = 200) -> web.Response:
    headers = {"Cache-Control": "no-store", "Content-Type": "application/json"}
    return web.Response(body=msgspec.json.encode(data), status=status, headers=headers)
