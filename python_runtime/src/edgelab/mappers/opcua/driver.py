"""One device, which is some nodes of a server."""

from __future__ import annotations

from typing import Any

from edgelab.mappers.opcua.config import Endpoint, endpoint, node_id
from edgelab.mappers.opcua.session import Session
from edgelab.mappers.opcua.values import reading, writing
from edgelab.mappers.sdk.ahead import Ahead, due_with
from edgelab.mappers.sdk.driver import Driver
from edgelab.mappers.sdk.model import Device, Property
from edgelab.mappers.sdk.shared import Shared
from edgelab.mappers.sdk.values import Value

MOST = 100
"""Nodes in one request: less than any server's MaxNodesPerRead that we know of."""


class OpcuaDevice(Driver):
    """Shares its session with the devices of the same endpoint and user."""

    def __init__(self, device: Device, sessions: Shared[Session]) -> None:
        super().__init__(device)
        self._sessions = sessions
        self._session: Session | None = None
        self._endpoint: Endpoint | None = None
        self._nodes: dict[str, Any] = {}
        self._kinds: dict[str, Any] = {}
        self._ahead = Ahead()

    async def open(self) -> None:
        """Read the configuration, log on and find the nodes. Raises ValueError that names a wrong field."""
        await self.close()
        wanted = endpoint(self.device)
        places = {name: node_id(prop) for name, prop in self.device.properties.items()}
        self._session = self._sessions.take(wanted, lambda: Session(wanted))
        self._endpoint = wanted
        self._kinds = {}
        self._ahead.forget()
        await self._session.connect()
        for name, place in places.items():
            try:
                self._nodes[name] = await self._session.find(*place)
            except (ValueError, LookupError) as error:
                raise ValueError(f"property {name}: {error}") from None

    async def read(self, prop: Property) -> Value:
        """One reading; the others of the same cycle come with the same request."""
        kept = self._ahead.take(prop.name)
        if kept is not None:
            return kept
        assert self._session is not None
        others = [item for item in due_with(prop, self.device.properties.values()) if item.name != prop.name]
        block = [prop, *others[: MOST - 1]]
        values = await self._session.read([self._nodes[item.name] for item in block])
        found: dict[str, Value] = {}
        for item, value in zip(block, values, strict=True):
            try:
                if isinstance(value, Exception):
                    raise value
                found[item.name] = reading(item.type, value)
            except (ValueError, LookupError):
                if item is prop:
                    raise
        own = found.pop(prop.name)
        self._ahead.keep(found)
        return own

    async def write(self, prop: Property, value: Value) -> None:
        """Write in the node's own type, which is asked for once. Raises BadValue for what does not fit."""
        assert self._session is not None
        node = self._nodes[prop.name]
        if prop.name not in self._kinds:
            self._kinds[prop.name] = await self._session.kind(node)
        kind = self._kinds[prop.name]
        self._ahead.forget()
        await self._session.write(node, writing(kind.name, value), kind)

    async def close(self) -> None:
        """Leave the session; the last device logs off."""
        if self._session is not None:
            self._session = None
            await self._sessions.release(self._endpoint)
