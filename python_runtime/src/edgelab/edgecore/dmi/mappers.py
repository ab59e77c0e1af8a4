"""The mappers of this node: one for each protocol, the last that registered.

A registration is a row in `meta`, as the original writes it, so that mappers that run on are served after
EdgeCore's own restart. Nobody knows then what they missed: each is told of everything once more.

Facts: KubeEdge `edge/pkg/devicetwin/dmiserver`, `dmiclient`, `dmicache`.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Any

import msgspec

from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.dmi.catalogue import DEVICE, Catalogue, Key, Waiting
from edgelab.edgecore.dmi.link import GHOST, Link, Mapper, Told, fingerprint
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.store import Store
from edgelab.protocol.dmi import api_pb2 as pb

log = logging.getLogger(__name__)

ROW_TYPE = "devicemapper"


class MapperRow(msgspec.Struct, omit_defaults=True):
    """A registration in the store: MapperInfo as Go writes it in JSON, the address in base64."""

    name: str
    protocol: str
    address: str
    version: str = ""
    api_version: str = ""
    state: str = ""

    @property
    def key(self) -> str:
        """The row's key, which the original spells with these words and no node."""
        return f"node/nodeID/namespace/{ROW_TYPE}/{self.name}"

    @property
    def path(self) -> str:
        """The mapper's socket. Raises ValueError."""
        return socket_path(base64.b64decode(self.address))


class Mappers:
    """Registrations, and the links that follow from them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.catalogue = Catalogue(store)
        self._links: dict[str, tuple[Link, asyncio.Task[Any]]] = {}
        self._tasks = Supervisor("dmi/mappers")

    def resume(self) -> None:
        """Take up the mappers that registered with an earlier process."""
        for key, value in rows.of_type(self._store, ROW_TYPE):
            try:
                row = msgspec.json.decode(value, type=MapperRow)
                path = row.path
            except ValueError as error:
                log.warning("the mapper stored as %s cannot be used: %s", key, error)
                continue
            known: Told = dict.fromkeys(self.catalogue.keys(row.protocol))
            self._open(row, path, known).touch(known)

    def changed(self, key: Key) -> None:
        """A device or model was stored or is gone."""
        due = self.catalogue.refresh(key)
        for link, _ in self._links.values():
            link.touch(due)

    async def register(self, info: Any, path: str, *, with_data: bool) -> Any:
        """Serve a mapper from now on; gives what it shall begin with.

        What an earlier mapper of the protocol had and is gone is removed from this one. Raises sqlite3.Error.
        """
        row = MapperRow(
            name=info.name,
            protocol=info.protocol,
            address=base64.b64encode(info.address).decode(),
            version=info.version,
            api_version=info.api_version,
            state=info.state,
        )
        await self._keep(row)
        answer = pb.MapperRegisterResponse()
        told: Told = {}
        for key in self.catalogue.keys(info.protocol):
            try:
                message = self.catalogue.message(info.protocol, key)
            except Waiting as reason:
                log.warning("%s", reason)
                continue
            if message is None:
                continue
            told[key] = fingerprint(message)
            if with_data:
                (answer.deviceList if key.kind == DEVICE else answer.modelList).append(message)
        earlier = self._close(info.protocol)
        gone = [key for key in earlier if key not in told]
        link = self._open(row, path, {**told, **dict.fromkeys(gone, GHOST)})
        # What waits (for a model, say) is looked at again. What is gone is removed, even if it has come again
        # by the time that the mapper listens.
        link.touch([*gone, *(key for key in self.catalogue.keys(info.protocol) if key not in told)])
        log.info("mapper %s serves protocol %s, %d objects", info.name, info.protocol, len(told))
        return answer

    async def close(self) -> None:
        """Stop telling."""
        await self._tasks.close()

    async def _keep(self, row: MapperRow) -> None:
        statements = [rows.put(row.key, ROW_TYPE, msgspec.json.encode(row))]
        for key, value in rows.of_type(self._store, ROW_TYPE):
            other = _protocol(value)
            if key != row.key and other in ("", row.protocol):
                log.warning("mapper %s takes protocol %s over from %s", row.name, row.protocol, key)
                statements.append(rows.drop(key))
        await self._store.submit(statements)

    def _open(self, row: MapperRow, path: str, told: Told) -> Link:
        link = Link(Mapper(row.name, row.protocol, path), self.catalogue, self._clock, told)
        self._links[row.protocol] = (link, self._tasks.spawn(link.run(), row.name))
        return link

    def _close(self, protocol: str) -> Told:
        """End the link of a protocol; gives what its mapper had."""
        if protocol not in self._links:
            return {}
        link, task = self._links.pop(protocol)
        task.cancel()
        return link.told


def socket_path(address: bytes) -> str:
    """The path in a mapper's address. Raises ValueError."""
    try:
        path = address.decode().removeprefix("unix://")
    except UnicodeDecodeError:
        path = ""
    if not path.startswith("/") or "\0" in path:
        raise ValueError("expected the absolute path of the mapper's socket")
    return path


def _protocol(value: bytes) -> str:
    try:
        return msgspec.json.decode(value, type=MapperRow).protocol
    except msgspec.DecodeError:
        return ""
