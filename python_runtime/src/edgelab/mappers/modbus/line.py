"""One TCP connection or serial line, which all its devices share: one request at a time."""

from __future__ import annotations

import asyncio
import termios
from collections.abc import Awaitable, Sequence
from typing import Any

from edgelab.mappers.modbus.config import BITS, COIL, DISCRETE, INPUT, Serial, Tcp


class Line:
    """Connects when it is needed, and anew after a request that was not answered.

    Raises OSError when nothing answers, and Refused when the device answers with an exception.
    """

    def __init__(self, where: Tcp | Serial) -> None:
        self.where = where
        self._client: Any = None
        self._turn = asyncio.Lock()

    async def connect(self, seconds: float) -> None:
        """Be connected. Raises OSError."""
        async with self._turn:
            await self._connected(seconds)

    async def read(self, slave: int, register: str, offset: int, count: int, seconds: float) -> list[Any]:
        """Registers, or bits, from `offset` on."""
        name = {COIL: "read_coils", DISCRETE: "read_discrete_inputs", INPUT: "read_input_registers"}.get(
            register, "read_holding_registers"
        )
        answer = await self._ask(seconds, name, offset, count=count, device_id=slave)
        found = answer.bits if register in BITS else answer.registers
        if len(found) < count:
            raise OSError(f"{len(found)} of {count} registers came back")
        return list(found[:count])

    async def write(
        self, slave: int, register: str, offset: int, values: Sequence[int], seconds: float
    ) -> None:
        """Write a coil or holding registers; a single register by function 6, which every device has."""
        if register == COIL:
            await self._ask(seconds, "write_coil", offset, bool(values[0]), device_id=slave)
        elif len(values) == 1:
            await self._ask(seconds, "write_register", offset, values[0], device_id=slave)
        else:
            await self._ask(seconds, "write_registers", offset, list(values), device_id=slave)

    async def close(self) -> None:
        """Hang up."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def _ask(self, seconds: float, name: str, *arguments: Any, **options: Any) -> Any:
        from pymodbus.exceptions import ModbusException  # noqa: PLC0415 - the library is an extra

        async with self._turn:
            client = await self._connected(seconds)
            try:
                async with asyncio.timeout(seconds):
                    answer = await _heeding(getattr(client, name)(*arguments, **options))
            except TimeoutError:
                await self.close()
                raise OSError(f"no answer in {seconds:g} seconds") from None
            except ModbusException as error:
                await self.close()
                raise OSError(str(error)) from None
            except BaseException:  # cancelled: what is still to come must not answer the next request
                await self.close()
                raise
        if answer.isError():
            raise Refused(answer.exception_code)
        return answer

    async def _connected(self, seconds: float) -> Any:
        if self._client is not None and self._client.connected:
            return self._client
        await self.close()
        client = _client(self.where, seconds)
        try:
            async with asyncio.timeout(seconds + 1):
                there = await _heeding(client.connect())
        except termios.error as error:  # no OSError, though it comes from one
            client.close()
            raise OSError(f"{_address(self.where)} cannot be set so: {error.args[-1]}") from None
        except BaseException:
            client.close()
            raise
        if not there:
            client.close()
            raise OSError(f"no connection to {_address(self.where)}")
        self._client = client
        return client


class Refused(LookupError):
    """The device's exception response."""

    TEXTS = (
        *("", "illegal function", "illegal data address", "illegal data value", "device failure"),
        *("acknowledge", "device busy"),
    )

    def __init__(self, code: int) -> None:
        self.code = code
        text = self.TEXTS[code] if 0 < code < len(self.TEXTS) else "see the device's manual"
        super().__init__(f"the device answers with exception {code} ({text})")


async def _heeding(work: Awaitable[Any]) -> Any:
    """Await pymodbus: before Python 3.12 its `wait_for` forgets a cancellation that comes with an answer."""
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    result = await work
    if task.cancelling() > before:
        raise asyncio.CancelledError
    return result


def _client(where: Tcp | Serial, seconds: float) -> Any:
    from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient  # noqa: PLC0415 - an extra

    options: Any = {"timeout": seconds, "retries": 0, "reconnect_delay": 0}
    if isinstance(where, Tcp):
        return AsyncModbusTcpClient(where.host, port=where.port, **options)
    return AsyncModbusSerialClient(
        where.path,
        baudrate=where.baud,
        bytesize=where.bits,
        parity=where.parity,
        stopbits=where.stop,
        **options,
    )


def _address(where: Tcp | Serial) -> str:
    return f"{where.host}:{where.port}" if isinstance(where, Tcp) else where.path
