"""One Modbus device."""

from __future__ import annotations

from edgelab.mappers.modbus.codec import decode, encode
from edgelab.mappers.modbus.config import BITS, COIL, HOLDING, MOST_REGISTERS, Place, Serial, place, target
from edgelab.mappers.modbus.line import Line, Refused
from edgelab.mappers.sdk.ahead import Ahead, due_with
from edgelab.mappers.sdk.driver import BadValue, Driver
from edgelab.mappers.sdk.model import Device, Property
from edgelab.mappers.sdk.shared import Shared
from edgelab.mappers.sdk.values import Value

MOST_WRITTEN = 123
"""Registers in one request (Modbus Application Protocol V1.1b3, 6.12)."""


class ModbusDevice(Driver):
    """Shares its line with the devices that are on it too."""

    def __init__(self, device: Device, lines: Shared[Line]) -> None:
        super().__init__(device)
        self._lines = lines
        self._line: Line | None = None
        self._key = ""
        self._places: dict[str, Place] = {}
        self._ahead = Ahead()

    async def open(self) -> None:
        """Read the configuration and have a connection. Raises ValueError that names a wrong field."""
        self._target = wanted = target(self.device)
        self._places = {name: place(prop) for name, prop in self.device.properties.items()}
        self._ahead.forget()
        if self._line is None:
            self._key = wanted.line.path if isinstance(wanted.line, Serial) else str(wanted.line)
            self._line = self._lines.take(self._key, lambda: Line(wanted.line))
        if self._line.where != wanted.line:
            await self.close()
            raise ValueError(f"configData: another device has other settings for {self._key}")
        await self._line.connect(wanted.timeout)

    async def read(self, prop: Property) -> Value:
        """One reading; its neighbours of the same cycle come with the same request."""
        kept = self._ahead.take(prop.name)
        if kept is not None:
            return kept
        block = self._block(prop)
        first = min(item.offset for item in block.values())
        last = max(item.end for item in block.values())
        try:
            raw = await self._ask(self._places[prop.name], first, last - first)
        except Refused:
            if len(block) == 1:
                raise
            own = self._places[prop.name]  # what the device refuses may be a neighbour
            return decode(own, await self._ask(own, own.offset, own.limit))
        found: dict[str, Value] = {}
        for name, item in block.items():
            try:
                found[name] = decode(item, raw[item.offset - first : item.end - first])
            except ValueError:
                if name == prop.name:
                    raise
        value = found.pop(prop.name)
        self._ahead.keep(found)
        return value

    async def write(self, prop: Property, value: Value) -> None:
        """Write a coil or holding registers. Raises BadValue for what does not fit."""
        where = self._places[prop.name]
        if where.register not in (COIL, HOLDING):
            raise BadValue(f"configData.register: {where.register} cannot be written")
        values = encode(where, value)
        if len(values) > MOST_WRITTEN:
            raise BadValue(f"configData.limit: at most {MOST_WRITTEN} registers can be written at once")
        self._ahead.forget()
        assert self._line is not None
        wanted = self._target
        await self._line.write(wanted.slave, where.register, where.offset, values, wanted.timeout)

    async def close(self) -> None:
        """Leave the line; the last device closes it."""
        if self._line is not None:
            self._line = None
            await self._lines.release(self._key)

    async def _ask(self, where: Place, first: int, count: int) -> list[int]:
        assert self._line is not None
        wanted = self._target
        return await self._line.read(wanted.slave, where.register, first, count, wanted.timeout)

    def _block(self, prop: Property) -> dict[str, Place]:
        """The property and those that lie next to it without a gap, as many as one answer holds."""
        own = self._places[prop.name]
        names = [item.name for item in due_with(prop, self.device.properties.values())]
        same = {name: self._places[name] for name in names if self._places[name].register == own.register}
        most = 2000 if own.register in BITS else MOST_REGISTERS
        block, first, end = {prop.name: own}, own.offset, own.end
        for name, item in sorted(same.items(), key=lambda pair: pair[1].offset):
            if item.offset <= end and item.offset >= first and max(end, item.end) - first <= most:
                block[name], end = item, max(end, item.end)
        for name, item in sorted(same.items(), key=lambda pair: -pair[1].end):
            if first <= item.end <= end and end - min(first, item.offset) <= most:
                block[name], first = item, min(first, item.offset)
        return block
