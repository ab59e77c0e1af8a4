"""Values, configuration, REST answers and waveforms of the mapper SDK."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.mappers.parts import FakeDriver, FakeLink, StepClock, messages, settle

from edgelab.daemon.errors import Fatal
from edgelab.mappers.sdk import Device, Property
from edgelab.mappers.sdk.app import main
from edgelab.mappers.sdk.config import load
from edgelab.mappers.sdk.fleet import Fleet
from edgelab.mappers.sdk.http import HttpServer, Request
from edgelab.mappers.sdk.rest import CORRELATION, Rest
from edgelab.mappers.sdk.values import from_text, to_text
from edgelab.mappers.virtual.__main__ import VirtualDevice
from edgelab.mappers.virtual.waves import wave


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "-7", -7),
        ("float", "0.5", 0.5),
        ("double", "1e3", 1000.0),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("string", "x y", "x y"),
        ("bytes", "AAE=", b"\x00\x01"),
    ],
)
def test_values_travel_as_text(kind: str, text: str, value: Any) -> None:
    assert from_text(kind, text) == value
    assert from_text(kind, to_text(value)) == value


@pytest.mark.parametrize(
    ("kind", "text"), [("int", "1.5"), ("float", "x"), ("float", "nan"), ("boolean", "True"), ("bytes", "?")]
)
def test_what_is_no_value_of_its_type_is_said(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        from_text(kind, text)


def test_a_reading_that_is_no_number_is_none() -> None:
    with pytest.raises(ValueError, match="no reading"):
        to_text(float("nan"))


def test_limits_that_are_no_numbers_limit_nothing() -> None:
    assert Property("x", "int", minimum="low", maximum="9").parse("-5") == -5
    with pytest.raises(ValueError, match=r"10: outside of \.\.\. to 9"):
        Property("x", "int", maximum="9").parse("10")


FRAMEWORK = """
grpc_server: {socket_path: /etc/kubeedge/random.sock}
common:
  name: Random-mapper
  version: v1.13.0
  api_version: v1.0.0
  protocol: random
  address: 127.0.0.1
  edgecore_sock: /etc/kubeedge/dmi.sock
  http_port: "7778"
"""


def test_a_file_of_the_framework_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(FRAMEWORK)
    config = load(path, "virtual")
    assert (config.common.protocol, config.common.http_port) == ("random", 7778)
    path.write_text("common: {edgecore_sock: /run/dmi.sock}\n")
    config = load(path, "virtual")
    assert (config.common.name, config.grpc_server.socket_path) == (
        "virtual-mapper",
        "/etc/kubeedge/virtual-mapper.sock",
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("common: {nmae: x}", r"nmae.*common"),
        ("common: {http_port: 70000}", r"common\.http_port"),
        ("devices: [{}]", "devices: EdgeCore names them"),
        ("mqtt: {username: u}", "address"),
        ("- 1", "expected a mapping"),
    ],
)
def test_a_wrong_file_is_told_by_its_field(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(Fatal, match=told):
        load(path, "virtual")
    with pytest.raises(Fatal, match="No such file"):
        load(tmp_path / "none.yaml", "virtual")


class Api:
    def __init__(self) -> None:
        self.drivers: list[FakeDriver] = []
        self.fleet = Fleet(self._drive, StepClock())
        self.fleet.attach(FakeLink())
        self.rest = Rest(self.fleet, StepClock())

    def _drive(self, device: Device) -> FakeDriver:
        self.drivers.append(FakeDriver(device))
        return self.drivers[-1]

    async def get(self, path: str) -> tuple[int, Any]:
        answer = await self.rest.handle(Request(tuple(path.split("/")), {}))
        json_like = answer.content_type == "application/json"
        return answer.status, json.loads(answer.body) if json_like else answer.body.decode()


@pytest.fixture
async def api() -> Any:
    api = Api()
    model, device = messages()
    api.fleet.replace([model], [device])
    await settle()
    yield api
    await api.fleet.close()


async def test_the_rest_api_answers_as_the_framework_does(api: Api) -> None:
    base = {"apiVersion": "v1", "statusCode": 200, "timeStamp": "1970-01-01T00:16:40Z"}
    assert await api.get("api/v1/ping") == (
        200,
        {**base, "Message": "This is v1 API, the server is running normally."},
    )
    assert await api.get("api/v1/device/default/d/level") == (
        200,
        {
            **base,
            "Data": {
                "DeviceName": "d",
                "PropertyName": "level",
                "Namespace": "default",
                "Value": "0",
                "Type": "float",
                "TimeStamp": 1000000,
            },
        },
    )
    assert (await api.get("api/v1/devicemethod/default/d"))[1]["Data"] == {
        "Methods": [
            {
                "Name": "Set",
                "Path": "/api/v1/devicemethod/default/d/Set/{propertyName}/{data}",
                "Parameters": [{"PropertyName": "switch", "ValueType": "int"}],
            }
        ]
    }
    status, model = await api.get("api/v1/meta/model/default/d")
    assert (status, model["name"], model["namespace"]) == (200, "m", "default")
    assert model["properties"][0] == {
        "name": "level",
        "dataType": "float",
        "description": "",
        "accessMode": "ReadOnly",
        "minimum": "",
        "maximum": "",
        "unit": "m",
    }
    assert (await api.get("api/v1/devicemethod/default/d/Set/switch/4"))[0] == 200
    assert ("write", "switch", 4) in api.drivers[0].calls


async def test_errors_of_the_rest_api_are_text_and_say_what_is_wrong(api: Api) -> None:
    for path, status, told in (
        ("api/v1/device/default/none/level", 404, "no device default/none"),
        ("api/v1/device/default/d/none", 404, "no property 'none'"),
        ("api/v1/devicemethod/default/d/None/switch/1", 404, "no method 'None'"),
        ("api/v1/devicemethod/default/d/Set/level/1", 404, "no method 'Set' for 'level'"),
        ("api/v1/devicemethod/default/d/Set/switch/no", 400, "expected a whole number"),
        ("api/v1/database/default/d", 503, "no database client"),
        ("api/v2", 404, "page not found"),
    ):
        answer = await api.get(path)
        assert answer[0] == status, path
        assert told in answer[1]
    api.drivers[0].values["level"] = TimeoutError("silence")
    assert await api.get("api/v1/device/default/d/level") == (500, "the device does not answer: silence\n")


async def test_requests_over_a_real_connection(api: Api) -> None:
    server = HttpServer("127.0.0.1", 0, api.rest.handle, correlate=CORRELATION)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    ask = "GET /api/v1/{} HTTP/1.1\r\nHost: x\r\nX-Correlation-ID: 42\r\n\r\n"
    for path, wanted in (("ping", b"200 OK"), ("device/default/d/lev%65l", b"200 OK"), ("no", b"404")):
        writer.write(ask.format(path).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert wanted in head.split(b"\r\n")[0]
        assert b"X-Correlation-ID: 42" in head or b"x-correlation-id: 42" in head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
    writer.write(b"POST /api/v1/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert b"405" in await reader.readline()
    writer.close()
    other = HttpServer("127.0.0.1", server.port, api.rest.handle, correlate=CORRELATION)
    with pytest.raises(Fatal, match=r"common\.http_port: .*the port is taken"):
        await other.run()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


WITH_MQTT = """
mqtt: {address: "tcp://127.0.0.1:1883", password_file: /nowhere}
models:
- {metadata: {name: wave}, spec: {protocol: virtual, properties: [{name: level, type: FLOAT}]}}
devices:
- metadata: {name: wave-1}
  spec: {deviceModelRef: {name: wave}, protocol: {protocolName: virtual}, properties: [{name: level}]}
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (WITH_MQTT, ""),
        ("", ""),
        ("common: {http_prot: 1}\n", "http_prot"),
        (WITH_MQTT.replace("tcp:", "ftp:"), "ftp://127.0.0.1:1883"),
        (WITH_MQTT.replace("[{name: level}]", "7"), "properties"),
    ],
)
def test_a_check_says_what_is_wrong_with_a_file_and_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    status = main("x-mapper", VirtualDevice, "virtual", ["--check", "--config-file", str(path)])
    assert status == (1 if told else 0)
    said = capsys.readouterr().err
    assert said.startswith("x-mapper: ") if told else said == ""
    assert told in said


def test_waveforms_have_their_shape() -> None:
    assert [wave("square", second, 4) for second in (0, 1.9, 2, 3.9, 4)] == [1, 1, 0, 0, 1]
    assert [wave("sawtooth", second, 4) for second in (0, 1, 2, 4)] == [0, 0.25, 0.5, 0]
    assert [round(wave("sine", second, 4), 6) for second in (0, 1, 2, 3)] == [0.5, 1, 0.5, 0]
    assert all(0 <= wave("random", second, 4) < 1 for second in range(50))
    with pytest.raises(ValueError, match="'triangle': expected one of sine, square"):
        wave("triangle", 0, 1)
    with pytest.raises(ValueError, match="more than 0 seconds"):
        wave("sine", 0, 0)


async def test_a_virtual_device_keeps_to_its_limits_and_says_that_it_is_simulated() -> None:
    device = VirtualDevice(Device("default", "v"))
    number = Property("n", "int", minimum="5", maximum="50")
    values = [await device.read(number) for _ in range(200)]
    assert all(isinstance(value, int) and 5 <= value <= 50 for value in values)
    await device.write(number, 6)
    assert {await device.read(number) for _ in range(100)} == {5, 6}
    assert await device.read(Property("sensor")) == "simulated"
    assert await device.read(Property("on", "boolean")) is False
    await device.write(Property("text"), "kept")
    assert await device.read(Property("text")) == "kept"
