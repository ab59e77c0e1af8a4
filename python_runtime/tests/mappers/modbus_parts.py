"""pymodbus's own servers, on TCP and on one end of a pair of terminals."""

from __future__ import annotations

import contextlib
import os
import socket
import tty
from collections.abc import AsyncIterator, Iterator
from typing import Any

from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edgelab.mappers.modbus.driver import ModbusDevice
from edgelab.mappers.modbus.line import Line
from edgelab.mappers.sdk import Device, Property
from edgelab.mappers.sdk.shared import Shared

HELD = [21, 65535, 0x41AC, 0x0000, 0x4036, 0x2000, 0, 0, 0x4D6F, 0x6465, 0x6C00, 0, 0xAC41]
"""Registers 0 to 12: 21, -1, 21.5 as float, 22.125 as double, "Model", 0x41AC byte-swapped."""
COUNT = 200
HOLDING, COILS = 3, 1
"""Function codes, by which a server is asked for what it has."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Asked:
    """Every request that reached a server: (function, first address, count)."""

    def __init__(self) -> None:
        self.requests: list[tuple[int, int, int]] = []

    def __call__(self, sending: bool, pdu: Any) -> Any:
        if not sending:
            self.requests.append((pdu.function_code, pdu.address, pdu.count))
        return pdu


def slaves(*numbers: int) -> list[SimDevice]:
    """Devices whose holding and input registers begin with `HELD`; bits 0 and 2 are on."""

    def one(number: int) -> SimDevice:
        def bits() -> list[SimData]:
            values = [True, False, True, False] + [False] * (COUNT - 4)
            return [SimData(0, values=values, datatype=DataType.BITS)]

        def registers(first: int) -> list[SimData]:
            values = [first, *HELD[1:], *[0] * (COUNT - len(HELD))]
            return [SimData(0, values=values, datatype=DataType.REGISTERS)]

        return SimDevice(number, simdata=(bits(), bits(), registers(20 + number), registers(20 + number)))

    return [one(number) for number in numbers]


@contextlib.asynccontextmanager
async def tcp_server(port: int, *numbers: int, asked: Asked | None = None) -> AsyncIterator[ModbusTcpServer]:
    server = ModbusTcpServer(slaves(*numbers), address=("127.0.0.1", port), trace_pdu=asked)
    await server.serve_forever(background=True)
    try:
        yield server
    finally:
        await server.shutdown()


@contextlib.contextmanager
def wire() -> Iterator[tuple[str, str]]:
    """Two terminals; what is written into one comes out of the other."""
    import threading

    ends = [os.openpty(), os.openpty()]
    for master, slave in ends:
        tty.setraw(slave)
        tty.setraw(master)

    def carry(source: int, target: int) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(source, 512):
                os.write(target, data)

    (a, a_end), (b, b_end) = ends
    for source, target in ((a, b), (b, a)):
        threading.Thread(target=carry, args=(source, target), daemon=True).start()
    try:
        yield os.ttyname(a_end), os.ttyname(b_end)
    finally:
        for fd in (a_end, b_end):
            os.close(fd)


@contextlib.asynccontextmanager
async def serial_server(port: str, *numbers: int, baud: int = 19200) -> AsyncIterator[ModbusSerialServer]:
    server = ModbusSerialServer(slaves(*numbers), port=port, baudrate=baud)
    await server.serve_forever(background=True)
    try:
        yield server
    finally:
        await server.shutdown()


def prop(name: str, kind: str, register: str, offset: int, **more: Any) -> Property:
    rules = {key: more.pop(key) for key in ("minimum", "collect") if key in more}
    return Property(name, kind, visitor={"register": register, "offset": offset, **more}, **rules)


def device(config: dict[str, Any], *props: Property, lines: Shared[Line] | None = None) -> ModbusDevice:
    described = Device("default", "d", config=config, properties={item.name: item for item in props})
    return ModbusDevice(described, lines or Shared())
