"""EdgeStream: a WebSocket to CloudStream, on which the cloud asks for logs, commands and ports of this node.

Receives: requests of the cloud. Sends: them to edged, and its answers back. Stores: nothing. Without the
cloud: dials again, after some seconds with jitter; what was under way ends. Without the certificate of the
node: waits for it. Without the runtime: edged's refusals go to whoever asked.

Facts: KubeEdge `edge/pkg/edgestream` (docs/reference/streams.md).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from edgelab.daemon import backoff
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Unreachable
from edgelab.edgecore.edgehub import connection as websocket
from edgelab.edgecore.edgehub.link import Disconnected, Distrusted, Endpoint
from edgelab.edgecore.edgestream.tunnel import Closed, Tunnel
from edgelab.edgecore.kubelet import Kubelet
from edgelab.protocol.tunnel import ADDRESS_HEADER, FEATURES, NODE_HEADER, PATH, VERSION

log = logging.getLogger(__name__)

FIRST_RETRY = 2.0
CERTIFICATE_SECONDS = 0.5
"""How often a certificate that is not there yet is looked for."""
MOST_TOLD = 5
"""Reasons told, each once, until a tunnel has stood: a cloud may have none at all."""
LASTED = 60.0
"""A tunnel that stood for so long was a good one: the next attempt comes soon."""


@dataclass(frozen=True, slots=True)
class TunnelEndpoint(Endpoint):
    """Where CloudStream listens; `address` is the node's own."""

    address: str = ""

    @property
    def url(self) -> str:
        """The URL of the tunnel."""
        return f"wss://{self.server}{PATH}"

    @property
    def headers(self) -> dict[str, str]:
        """Who we are, and that we know credits and heads."""
        return {NODE_HEADER: self.node, ADDRESS_HEADER: self.address, FEATURES: VERSION}


class EdgeStream:
    """The module. `kubelet` serves, `cap` (seconds) bounds the wait between two attempts."""

    name = "edgestream"

    def __init__(
        self, endpoint: Callable[[], TunnelEndpoint], kubelet: Kubelet, clock: Clock, *, cap: float
    ) -> None:
        self._endpoint = endpoint
        self._kubelet = kubelet
        self._clock = clock
        self._cap = cap
        self.connected = False

    async def run(self) -> NoReturn:
        """Keep a tunnel until cancelled."""
        told: set[str] = set()
        delays = self._delays()
        while True:
            began = self._clock.monotonic()
            try:
                await self._once()
            except (Unreachable, Distrusted, Disconnected, Closed) as error:
                if self._clock.monotonic() - began > LASTED:
                    told, delays = set(), self._delays()
                if str(error) not in told and len(told) < MOST_TOLD:
                    told.add(str(error))
                    log.warning("no tunnel to CloudStream: %s; trying again", error)
            await self._clock.sleep(next(delays))

    def _delays(self) -> Iterator[float]:
        return backoff.delays(FIRST_RETRY, max(FIRST_RETRY, self._cap), floor=0.5)

    async def _once(self) -> None:
        """One tunnel. Raises why it is over."""
        endpoint = self._endpoint()
        while not (endpoint.cert_file.exists() and endpoint.key_file.exists()):
            await self._clock.sleep(CERTIFICATE_SECONDS)
        async with websocket.open_connection(endpoint) as connection, self._shown(endpoint):
            extended = connection.header(FEATURES) == VERSION
            await Tunnel(connection, self._kubelet, self._clock, extended=extended).run()

    @contextlib.asynccontextmanager
    async def _shown(self, endpoint: TunnelEndpoint) -> AsyncIterator[None]:
        log.info("the tunnel to CloudStream at %s stands", endpoint.server)
        self.connected = True
        try:
            yield
        finally:
            self.connected = False
