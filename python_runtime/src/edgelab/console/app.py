"""Follow the cluster, ask the database, serve the page."""

from __future__ import annotations

import logging
import socket

from edgelab.console.board import Board
from edgelab.console.cluster import Cluster
from edgelab.console.feed import Feed
from edgelab.console.guard import Guard
from edgelab.console.health import Health
from edgelab.console.logs import Logs
from edgelab.console.series import Series
from edgelab.console.server import Server
from edgelab.console.settings import Settings, read_password
from edgelab.console.stream import Stream
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.tasks import Module, run_modules
from edgelab.kube.client import HttpClient
from edgelab.kube.kubeconfig import load

log = logging.getLogger("edgelab.console")


async def serve(settings: Settings, clock: Clock = SYSTEM) -> None:
    """Run until cancelled. Raises Fatal for a kubeconfig, password or port that cannot be used."""
    password = read_password(settings.password_file) if settings.password_file else ""
    async with HttpClient(load(settings.kube_config), user_agent="edgelab-console") as api:
        board = Board()
        cluster = Cluster(api, board, clock)
        series = Series(settings.time_series, clock)
        health = Health(cluster, series, clock)
        stream = Stream(Feed(board, health, settings.max_clients), clock)
        guard = Guard([socket.gethostname(), *settings.names], password)
        server = Server(
            settings.listen,
            guard=guard,
            board=board,
            health=health,
            series=series,
            stream=stream,
            logs=Logs(api) if settings.logs else None,
        )
        audience = "those who know the password" if password else "everybody who reaches it"
        log.info("serving on %s to %s", ", ".join(settings.listen), audience)
        modules: list[Module] = [server, series, health, *cluster.informers]
        await run_modules(modules)
