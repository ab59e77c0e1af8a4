"""The Modbus driver against pymodbus's servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.mappers.modbus_parts import (
    COILS,
    HOLDING,
    Asked,
    device,
    free_port,
    prop,
    serial_server,
    tcp_server,
    wire,
)
from tests.mappers.parts import FakeLink

from edgelab.daemon.clock import SYSTEM
from edgelab.mappers.modbus.config import Serial, target
from edgelab.mappers.modbus.driver import ModbusDevice
from edgelab.mappers.modbus.line import Line
from edgelab.mappers.sdk.driver import BadValue
from edgelab.mappers.sdk.fleet import Fleet
from edgelab.mappers.sdk.messages import build
from edgelab.mappers.sdk.shared import Shared
from edgelab.objects.deviceversions.convert import convert
from edgelab.protocol.dmi.objects import device_message, model_message

VECTORS = Path(__file__).parents[1] / "objects" / "vectors"
TUTORIAL = ("devicemodel-v1alpha2.yaml", "device-modbus-v1alpha2.yaml")
HR, IR, CO, DI = "HoldingRegister", "InputRegister", "CoilRegister", "DiscreteInputRegister"


def tcp(port: int, slave: int = 1) -> dict[str, Any]:
    return {"slaveID": slave, "ip": "127.0.0.1", "port": port, "timeout": 1}


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (prop("p", "int", HR, 0), 21),
        (prop("p", "int", IR, 0), 21),
        (prop("p", "int", HR, 1), -1),
        (prop("p", "int", HR, 1, signed=False), 65535),
        (prop("p", "int", HR, 1, minimum="0"), 65535),
        (prop("p", "int", HR, 0, limit=2), 21 * 65536 + 65535),
        (prop("p", "int", HR, 0, limit=2, isRegisterSwap=True), -65536 + 21),
        (prop("p", "int", HR, 12, isSwap=True), 0x41AC),
        (prop("p", "int", HR, 4, limit=4), 0x4036200000000000),
        (prop("p", "int", HR, 0, scale=2), 42),
        (prop("p", "float", HR, 0, limit=1, scale=0.1), 2.1),
        (prop("p", "float", HR, 2), 21.5),
        (prop("p", "float", HR, 2, limit=2, scale=2), 43.0),
        (prop("p", "double", HR, 4), 22.125),
        (prop("p", "string", HR, 8, limit=4), "Model"),
        (prop("p", "bytes", HR, 8, limit=1), b"Mo"),
        (prop("p", "boolean", HR, 0), True),
        (prop("p", "boolean", HR, 6), False),
        (prop("p", "boolean", CO, 0), True),
        (prop("p", "boolean", DI, 1), False),
        (prop("p", "int", DI, 2), 1),
        (prop("p", "string", CO, 2), "true"),
    ],
)
async def test_reads(item: Any, value: Any) -> None:
    port = free_port()
    async with tcp_server(port, 1):
        driver = device(tcp(port), item)
        await driver.open()
        assert await driver.read(item) == value
        await driver.close()


@pytest.mark.parametrize(
    ("item", "value", "function", "raw"),
    [
        (prop("p", "int", HR, 20), -2, HOLDING, [65534]),
        (prop("p", "int", HR, 20, limit=2, isRegisterSwap=True), 1, HOLDING, [1, 0]),
        (prop("p", "int", HR, 20, isSwap=True), 1, HOLDING, [256]),
        (prop("p", "float", HR, 20), 21.5, HOLDING, [0x41AC, 0]),
        (prop("p", "float", HR, 20, limit=1, scale=0.1), 2.1, HOLDING, [21]),
        (prop("p", "double", HR, 20), 22.125, HOLDING, [0x4036, 0x2000, 0, 0]),
        (prop("p", "string", HR, 20, limit=2), "abc", HOLDING, [0x6162, 0x6300]),
        (prop("p", "boolean", HR, 20), True, HOLDING, [1]),
        (prop("p", "boolean", CO, 3), True, COILS, [True]),
        (prop("p", "int", CO, 0), 0, COILS, [False]),
        (prop("p", "string", CO, 3), "ON", COILS, [True]),
    ],
)
async def test_writes(item: Any, value: Any, function: int, raw: list[int]) -> None:
    port = free_port()
    async with tcp_server(port, 1) as server:
        driver = device(tcp(port), item)
        await driver.open()
        await driver.write(item, value)
        found = await server.async_getValues(1, function, item.visitor["offset"], len(raw))
        assert list(found)[: len(raw)] == raw
        await driver.close()


@pytest.mark.parametrize(
    ("item", "value", "text"),
    [
        (prop("p", "int", HR, 0), 32768, "32768 does not fit into 1 registers, signed"),
        (prop("p", "int", HR, 0, minimum="0"), -1, "-1 does not fit into 1 registers, unsigned"),
        (prop("p", "string", HR, 0, limit=1), "abc", "3 bytes do not fit into 1 registers"),
        (prop("p", "string", HR, 0, limit=124), "abc", "configData.limit: at most 123"),
        (prop("p", "int", CO, 0), 15, "15: a coil is 0 or 1"),
        (prop("p", "int", IR, 0), 1, "configData.register: InputRegister cannot be written"),
    ],
)
async def test_does_not_write(item: Any, value: Any, text: str) -> None:
    port = free_port()
    async with tcp_server(port, 1):
        driver = device(tcp(port), item)
        await driver.open()
        with pytest.raises(BadValue, match=text):
            await driver.write(item, value)
        await driver.close()


@pytest.mark.parametrize(
    ("config", "visitor", "text"),
    [
        ({"slaveID": None}, {}, "configData.slaveID: is missing"),
        ({"slaveID": 300}, {}, "configData.slaveID: 300: expected a whole number from 0 to 255"),
        ({"ip": ""}, {}, "configData.ip: is missing"),
        ({"port": "http"}, {}, "configData.port: 'http': expected a number"),
        ({"communicateMode": "UDP"}, {}, "configData.communicateMode: 'UDP': expected one of TCP, RTU"),
        ({"communicateMode": "RTU"}, {}, "configData.serialPort: is missing"),
        ({"serialPort": "/dev/ttyS9", "parity": "mark"}, {}, "configData.parity: 'mark'"),
        ({"timeout": 0}, {}, "configData.timeout: 0: expected more"),
        ({}, {"register": "Coil"}, "property p: configData.register: 'Coil': expected one of CoilRegister"),
        ({}, {"register": ""}, "property p: configData.register: is missing"),
        ({}, {"offset": 65536}, "property p: configData.offset: 65536"),
        ({}, {"limit": 3}, "property p: configData.limit: 3: INT takes 1 or 2 or 4"),
        ({}, {"register": CO, "limit": 2}, "property p: configData.limit: 2: CoilRegister takes 1"),
        ({}, {"scale": 0}, "property p: configData.scale: 0: expected a finite number"),
        ({}, {"isSwap": "maybe"}, "property p: configData.isSwap: 'maybe': expected true or false"),
    ],
)
async def test_wrong_fields_are_named(config: dict[str, Any], visitor: dict[str, Any], text: str) -> None:
    wanted = {key: value for key, value in {**tcp(1), **config}.items() if value is not None}
    item = prop("p", "int", **{"register": HR, "offset": 0, **visitor})
    with pytest.raises(ValueError, match=text):
        await device(wanted, item).open()


@pytest.mark.parametrize(
    "spelling",
    [
        {"SlaveID": "2", "IP": "127.0.0.1", "communicateMode": "tcp"},
        {"slaveID": 2, "tcp.ip": "127.0.0.1"},
    ],
)
async def test_keys_of_every_generation(spelling: dict[str, Any]) -> None:
    port = free_port()
    item = prop("p", "int", "holdingregister", 0)
    async with tcp_server(port, 2):
        driver = device({**spelling, "tcp.port" if "tcp.ip" in spelling else "Port": str(port)}, item)
        await driver.open()
        assert await driver.read(item) == 22
        await driver.close()


async def test_neighbours_come_with_one_request() -> None:
    port, asked = free_port(), Asked()
    items = [prop(f"p{at}", "int", HR, at) for at in (5, 3, 4, 9)]
    async with tcp_server(port, 1, asked=asked):
        driver = device(tcp(port), *items, prop("q", "int", HR, 6, collect=60.0))
        await driver.open()
        values = [await driver.read(item) for item in items]
        assert values == [0x2000, 0, 0x4036, 0x6465]
        assert asked.requests == [(3, 3, 3), (3, 9, 1)]
        await driver.close()


async def test_a_request_has_no_more_than_125_registers() -> None:
    port, asked = free_port(), Asked()
    items = [prop(f"p{at:03}", "int", HR, at) for at in range(150)]
    async with tcp_server(port, 1, asked=asked):
        driver = device(tcp(port), *items)
        await driver.open()
        for item in items:
            await driver.read(item)
        assert max(count for _, _, count in asked.requests) == 125
        assert len(asked.requests) <= 3
        await driver.close()


async def test_a_neighbour_that_the_device_refuses_costs_only_itself() -> None:
    port = free_port()
    last, beyond = prop("last", "int", HR, 199), prop("beyond", "int", HR, 200)
    async with tcp_server(port, 1):
        driver = device(tcp(port), last, beyond)
        await driver.open()
        assert await driver.read(last) == 0
        with pytest.raises(LookupError, match=r"exception 2 \(illegal data address\)"):
            await driver.read(beyond)
        await driver.close()


async def test_two_devices_share_a_connection() -> None:
    port, lines = free_port(), Shared[Line]()
    item = prop("p", "int", HR, 0)
    async with tcp_server(port, 1, 2) as server:
        drivers = [device(tcp(port, slave), item, lines=lines) for slave in (1, 2)]
        for driver in drivers:
            await driver.open()
        assert await asyncio.gather(*(driver.read(item) for driver in drivers)) == [21, 22]
        assert len(server.active_connections) == 1
        await drivers[0].close()
        assert await drivers[1].read(item) == 22
        await drivers[1].close()


async def test_two_devices_on_a_serial_line() -> None:
    lines = Shared[Line]()
    item = prop("p", "int", HR, 0)
    with wire() as (near, far):
        async with serial_server(far, 1, 2) as server:
            common = {"com.serialPort": near, "com.baudRate": 19200, "com.parity": "none", "timeout": 2}
            drivers = [device({**common, "slaveID": slave}, item, lines=lines) for slave in (1, 2)]
            for driver in drivers:
                await driver.open()
            assert await asyncio.gather(*(driver.read(item) for driver in drivers)) == [21, 22]
            await asyncio.gather(*(driver.write(item, 7) for driver in drivers))
            assert [list(await server.async_getValues(n, HOLDING, 0, 1)) for n in (1, 2)] == [[7], [7]]
            other = device({**common, "slaveID": 3, "com.baudRate": 9600}, item, lines=lines)
            with pytest.raises(ValueError, match="another device has other settings"):
                await other.open()
            for driver in drivers:
                await driver.close()


async def test_a_server_that_goes_and_returns() -> None:
    port, item = free_port(), prop("p", "int", HR, 0)
    driver = device(tcp(port), item)
    with pytest.raises(OSError, match="no connection"):
        await driver.open()
    async with tcp_server(port, 1):
        await driver.open()
        assert await driver.read(item) == 21
    with pytest.raises(OSError, match=r"."):
        await driver.read(item)
    async with tcp_server(port, 1):
        await driver.open()
        assert await driver.read(item) == 21
        await driver.close()


async def test_a_cancellation_that_comes_with_the_answer_is_heeded() -> None:
    port, item = free_port(), prop("p", "int", HR, 0)
    lines: Shared[Line] = Shared()
    async with tcp_server(port, 1):
        driver = device(tcp(port), item, lines=lines)
        await driver.open()
        assert driver._line is not None
        reading = asyncio.create_task(driver.read(item))
        context = driver._line._client.ctx
        received = context.callback_data

        def with_cancellation(data: bytes, addr: Any = None) -> int:
            used: int = received(data, addr)
            reading.cancel()
            return used

        context.callback_data = with_cancellation
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await driver.read(item) == 21
        await driver.close()


def documents(name: str, port: int, register: str, desired: str) -> tuple[Any, Any]:
    model = {
        "metadata": {"namespace": "default", "name": "m"},
        "spec": {"properties": [{"name": "level", "type": "INT", "accessMode": "ReadWrite"}]},
    }
    level = {"name": "level", "collectCycle": 50, "reportToCloud": True, "desired": {"value": desired}}
    visitors = {"protocolName": "modbus", "configData": {"register": register, "offset": 30}}
    spec = {
        "deviceModelRef": {"name": "m"},
        "protocol": {"protocolName": "modbus", "configData": {"slaveID": 1, "tcp": {"ip": "127.0.0.1"}}},
        "properties": [{**level, "visitors": visitors}],
        "stateReport": {"reportToCloud": True, "reportCycle": 10000},
    }
    spec["protocol"]["configData"]["tcp"]["port"] = port  # type: ignore[index]
    found = device_message({"metadata": {"namespace": "default", "name": name}, "spec": spec}, model)
    return model_message(model), found


async def until(check: Any) -> None:
    async with asyncio.timeout(20):
        while not check():
            await asyncio.sleep(0.02)


async def test_desired_values_arrive_and_a_wrong_device_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port, link, lines = free_port(), FakeLink(), Shared[Line]()
    async with tcp_server(port, 1) as server:
        fleet = Fleet(lambda found: ModbusDevice(found, lines), SYSTEM)
        fleet.attach(link)
        model, good = documents("good", port, HR, "7")
        bad, unfit = documents("bad", port, "Register", "7")[1], documents("unfit", port, CO, "15")[1]
        fleet.replace([model], [good, bad, unfit])
        await until(lambda: {"level": "7"} in link.values)
        assert list(await server.async_getValues(1, HOLDING, 30, 1)) == [7]
        fleet.desire("default/good", {"level": "8"})
        await until(lambda: {"level": "8"} in link.values)
        health = {name: fleet.runner(f"default/{name}").health for name in ("good", "bad", "unfit")}
        assert health == {"good": "online", "bad": "offline", "unfit": "online"}
        await fleet.close()
    assert "default/bad cannot be reached: property level: configData.register: 'Register'" in caplog.text
    assert caplog.text.count("default/unfit: the desired value of level is not written: 15: a coil") == 1


async def test_the_tutorials_device_of_v1alpha2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model, found = (
        convert({**old, "metadata": {"namespace": "default", **old["metadata"]}}, "v1beta1")
        for old in (yaml.safe_load((VECTORS / name).read_text()) for name in TUTORIAL)
    )
    made = build(device_message(found, model), model_message(model))
    assert target(made).line == Serial("1", 115200, 8, "E", 1)
    found["spec"]["protocol"]["configData"]["com"]["parity"] = "none"  # a pseudo-terminal has no parity
    link, lines = FakeLink(), Shared[Line]()
    with wire() as (near, far):
        (tmp_path / "1").symlink_to(near)  # the tutorial's serialPort is '1'
        monkeypatch.chdir(tmp_path)
        async with serial_server(far, 1, baud=115200) as server:
            fleet = Fleet(lambda made: ModbusDevice(made, lines), SYSTEM)
            fleet.attach(link)
            fleet.replace([model_message(model)], [device_message(found, model)])
            name = "default/sensor-tag-instance-01"
            await until(lambda: {"temperature", "temperature-enable"} <= set(fleet.runner(name).latest))
            latest = {key: value.value for key, value in fleet.runner(name).latest.items()}
            assert latest == {"temperature": "1", "temperature-enable": "false"}
            fleet.desire(name, {"temperature": "0"})  # the document's 15 is nothing for a coil
            await until(lambda: fleet.runner(name).latest["temperature"].value == "0")
            (coil, *_) = await server.async_getValues(1, COILS, 2, 1)
            assert not coil
            await fleet.close()


async def test_a_line_that_cannot_be_set_so_is_told() -> None:
    item = prop("p", "int", HR, 0)
    with wire() as (near, _):  # which has no parity
        driver = device({"slaveID": 1, "serialPort": near, "parity": "even"}, item)
        with pytest.raises(OSError, match="cannot be set so: Invalid argument"):
            await driver.open()
        await driver.close()
