"""DMI: the socket where mappers register and report (KubeEdge `edge/pkg/devicetwin/dmiserver`).

Receives: registrations and reports of mappers; changes of Devices and DeviceModels from MetaManager.
Sends: devices and models to the mapper of their protocol, reports to DeviceTwin. Stores: registrations.
Without the cloud: serves what is stored. Without the mapper: tells it everything when it is back.

gRPC is loaded when the first mapper calls: on a node without mappers the socket costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.unixsocket import CannotListen, listen
from edgelab.edgecore.interfaces import Twins
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.store import Store

if TYPE_CHECKING:
    from edgelab.edgecore.dmi.mappers import Mappers
    from edgelab.edgecore.dmi.service import DeviceManager

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0


class Dmi:
    """The module. `directory` is `dmiSockPath`: a directory, or as in old files the socket itself."""

    name = "dmi"

    def __init__(self, directory: str, store: Store, clock: Clock, twins: Twins) -> None:
        self.path = Path(directory) if directory.endswith(".sock") else Path(directory, "dmi.sock")
        self._store = store
        self._clock = clock
        self._twins = twins
        self._mappers: Mappers | None = None
        self._manager: DeviceManager | None = None

    def object_changed(self, kind: str, object_id: str) -> None:
        """A `device` or `devicemodel` was stored, or is gone; its row says which."""
        if self._mappers is not None:
            from edgelab.edgecore.dmi.catalogue import Key  # noqa: PLC0415 - loaded with the mappers

            self._mappers.changed(Key(kind, object_id))

    async def run(self) -> None:
        """Serve mappers for ever."""
        try:
            if rows.of_type(self._store, "devicemapper"):
                self._load()
            with await self._listen() as sock:
                log.info("mappers register at %s", self.path)
                try:
                    await self._serve(sock)
                finally:
                    with contextlib.suppress(OSError):
                        self.path.unlink()
        finally:
            if self._mappers is not None:
                await self._mappers.close()

    async def _listen(self) -> socket.socket:
        """The socket; a node whose directory is not as it should be runs its pods all the same."""
        complaint = ""
        for wait in delays(FIRST_WAIT, LONGEST_WAIT):
            try:
                return listen(self.path)
            except CannotListen as error:
                level = logging.DEBUG if str(error) == complaint else logging.ERROR
                log.log(level, "mappers cannot register (modules.deviceTwin.dmiSockPath): %s", error)
                complaint = str(error)
            await self._clock.sleep(wait)
        raise AssertionError

    async def _serve(self, sock: socket.socket) -> None:
        if self._manager is None:
            await _somebody_calls(sock)
        manager = self._load()
        from edgelab.daemon import unixgrpc  # noqa: PLC0415 - loaded with the mappers

        await unixgrpc.serve(sock, manager.calls())

    def _load(self) -> DeviceManager:
        from edgelab.edgecore.dmi.mappers import Mappers  # noqa: PLC0415 - only where there are mappers
        from edgelab.edgecore.dmi.service import DeviceManager  # noqa: PLC0415

        if self._manager is None:
            self._mappers = Mappers(self._store, self._clock)
            self._mappers.resume()
            self._manager = DeviceManager(self._mappers, self._twins, self._clock)
        return self._manager


async def _somebody_calls(sock: socket.socket) -> None:
    """Wait for a connection without accepting it."""
    loop, called = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock, called.set)
    try:
        await called.wait()
    finally:
        loop.remove_reader(sock)
