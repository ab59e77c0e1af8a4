"""DMI: real store, real unix sockets, a mapper that the test plays."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import ParseDict
from tests.edgecore.dmi_mapper import FakeMapper

from edgelab.daemon.clock import SystemClock
from edgelab.daemon.unixgrpc import CallError, Peer
from edgelab.edgecore.dmi.limits import Bucket
from edgelab.edgecore.dmi.module import Dmi
from edgelab.edgecore.interfaces import Refused
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.store import META_TABLES, Store
from edgelab.protocol.dmi import api_pb2 as pb
from edgelab.protocol.dmi.methods import MANAGER
from edgelab.protocol.twin import Twin


class Hurried(SystemClock):
    """Waits between attempts are over at once."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.002)


class Edge:
    """DMI with its store; `reports` is what goes to DeviceTwin, which may refuse it."""

    def __init__(self, directory: Path, store: Store) -> None:
        self.store = store
        self.reports: list[tuple[str, Any]] = []
        self.refuse: Callable[[Any], Refused | None] = lambda _: None
        self.dmi = Dmi(str(directory), store, Hurried(), self)

    async def report(self, device_id: str, twins: Mapping[str, Twin | None]) -> None:
        self._take(device_id, msgspec.to_builtins(twins))

    async def report_state(self, device_id: str, state: str) -> None:
        self._take(device_id, state)

    def _take(self, device_id: str, what: Any) -> None:
        if refusal := self.refuse(what):
            raise refusal
        self.reports.append((device_id, what))

    async def put(self, kind: str, name: str, **spec: Any) -> None:
        content = {"metadata": {"namespace": "default", "name": name}, "spec": spec}
        await self.store.submit([rows.put(f"default/{kind}/{name}", kind, json.dumps(content).encode())])
        self.dmi.object_changed(kind, f"default/{name}")

    async def device(
        self, name: str = "d", value: str = "1", model: str = "m", protocol: str = "virtual"
    ) -> None:
        reference = {"deviceModelRef": {"name": model}} if model else {}
        properties = [{"name": "switch", "desired": {"value": value}}]
        await self.put(
            "device", name, protocol={"protocolName": protocol}, properties=properties, **reference
        )

    async def model(self, name: str = "m", **more: Any) -> None:
        await self.put("devicemodel", name, protocol="virtual", properties=[{"name": "switch"}], **more)

    async def drop(self, kind: str, name: str) -> None:
        await self.store.submit([rows.drop(f"default/{kind}/{name}")])
        self.dmi.object_changed(kind, f"default/{name}")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Edge]:
        task = asyncio.create_task(self.dmi.run())
        try:
            async with asyncio.timeout(10):
                while not self.dmi.path.exists():
                    await asyncio.sleep(0.002)
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    async with Store(tmp_path / "e.db", META_TABLES) as store, Edge(tmp_path, store).running() as edge:
        yield edge


@pytest.fixture
async def mapper(tmp_path: Path, edge: Edge) -> AsyncIterator[FakeMapper]:
    async with FakeMapper(tmp_path / "mapper.sock", edge.dmi.path).listening() as mapper:
        yield mapper


async def test_a_mapper_gets_the_devices_of_its_protocol_and_their_models(
    edge: Edge, mapper: FakeMapper
) -> None:
    await edge.model()
    await edge.device("mine")
    await edge.device("other", protocol="modbus")
    answer = await mapper.register()
    assert [device.name for device in answer.deviceList] == ["mine"]
    assert [model.name for model in answer.modelList] == ["m"]
    assert answer.deviceList[0].spec.properties[0].desired.value == "1"


async def test_changes_are_told_once_each_in_the_right_words(edge: Edge, mapper: FakeMapper) -> None:
    await mapper.register()
    await edge.model()
    await mapper.hears(1)
    await edge.device()
    await mapper.hears(2)
    await edge.device(value="2")
    await mapper.hears(3)
    await edge.device(value="2")  # the same again: nothing
    await edge.model(protocolConfigData={"slave": 1})  # of this the device alone shows anything
    await mapper.hears(4)
    await edge.drop("device", "d")
    await mapper.hears(5)
    await edge.drop("devicemodel", "m")
    assert await mapper.hears(6) == [
        ("CreateDeviceModel", "m"),
        ("RegisterDevice", "d"),
        ("UpdateDevice", "d"),
        ("UpdateDevice", "d"),
        ("RemoveDevice", "d"),
        ("RemoveDeviceModel", "m"),
    ]
    assert mapper.heard[2][1].device.spec.properties[0].desired.value == "2"


async def test_a_device_waits_for_its_model_and_then_comes_after_it(edge: Edge, mapper: FakeMapper) -> None:
    await mapper.register()
    await edge.device("early")
    await edge.device("alone", model="")
    assert await mapper.hears(1) == [("RegisterDevice", "alone")]
    await edge.model()
    assert (await mapper.hears(3))[1:] == [("CreateDeviceModel", "m"), ("RegisterDevice", "early")]


async def test_a_mapper_that_was_away_gets_the_newest_and_loses_what_is_gone(
    tmp_path: Path, edge: Edge
) -> None:
    path = tmp_path / "mapper.sock"
    await edge.model()
    for name in ("stays", "goes"):
        await edge.device(name)
    async with FakeMapper(path, edge.dmi.path).listening() as first:
        assert len((await first.register()).deviceList) == 2
    for value in ("2", "3", "4"):
        await edge.device("stays", value)
    await edge.drop("device", "goes")
    async with FakeMapper(path, edge.dmi.path).listening() as back:  # the same process: it does not register
        assert sorted(await back.hears(2)) == [("RemoveDevice", "goes"), ("UpdateDevice", "stays")]
        (update,) = (request for name, request in back.heard if name == "UpdateDevice")
        assert update.device.spec.properties[0].desired.value == "4"


async def test_a_mapper_that_registers_again_is_rid_of_ghosts(tmp_path: Path, edge: Edge) -> None:
    path = tmp_path / "mapper.sock"
    await edge.device("stays", model="")
    await edge.device("ghost", model="")
    async with FakeMapper(path, edge.dmi.path).listening() as mapper:
        await mapper.register()
    await edge.drop("device", "ghost")
    async with FakeMapper(path, edge.dmi.path).listening() as again:
        answer = await again.register()
        assert [device.name for device in answer.deviceList] == ["stays"]
        assert await again.hears(1) == [("RemoveDevice", "ghost")]


async def test_what_comes_again_before_the_mapper_can_be_told_that_it_was_gone_is_told_anew(
    tmp_path: Path, edge: Edge
) -> None:
    """The mapper registers, as KubeEdge's framework does, before it listens; it has nothing of the past."""
    await edge.model()
    await edge.device("same")
    async with FakeMapper(tmp_path / "mapper.sock", edge.dmi.path).listening() as first:
        await first.register()
    await edge.drop("device", "same")
    await edge.drop("devicemodel", "m")
    again = FakeMapper(tmp_path / "mapper.sock", edge.dmi.path)
    answer = await again.register()
    assert not [*answer.deviceList, *answer.modelList]
    await edge.model()
    await edge.device("same")
    async with again.listening():
        heard = await again.hears(4)
        assert heard.index(("CreateDeviceModel", "m")) < heard.index(("RegisterDevice", "same"))
        removals = [("RemoveDevice", "same"), ("RemoveDeviceModel", "m")]
        assert sorted(heard) == sorted([*removals, ("CreateDeviceModel", "m"), ("RegisterDevice", "same")])


async def test_a_mapper_survives_the_restart_of_edgecore(tmp_path: Path) -> None:
    async with Store(tmp_path / "e.db", META_TABLES) as store:
        async with Edge(tmp_path, store).running() as edge:
            await edge.device("d", model="")
            mapper = FakeMapper(tmp_path / "mapper.sock", edge.dmi.path)
            async with mapper.listening():
                await mapper.register()
        ((key, value),) = rows.of_type(store, "devicemapper")
        assert key == "node/nodeID/namespace/devicemapper/m"
        assert set(json.loads(value)) == {"name", "protocol", "address", "state"}
        async with mapper.listening(), Edge(tmp_path, store).running() as second:
            assert await mapper.hears(1) == [("UpdateDevice", "d")]
            await second.drop("device", "d")
            assert (await mapper.hears(2))[1:] == [("RemoveDevice", "d")]


async def test_without_data_the_answer_is_empty_and_changes_are_told(edge: Edge, mapper: FakeMapper) -> None:
    await edge.device(model="")
    answer = await mapper.register(with_data=False)
    assert not answer.deviceList
    await edge.device(model="", value="9")
    assert await mapper.hears(1) == [("UpdateDevice", "d")]


async def test_the_last_mapper_of_a_protocol_has_it(tmp_path: Path, edge: Edge, mapper: FakeMapper) -> None:
    await mapper.register(name="first")
    async with FakeMapper(tmp_path / "second.sock", edge.dmi.path).listening() as second:
        await second.register(name="second")
        await edge.device(model="")
        assert await second.hears(1) == [("RegisterDevice", "d")]
    assert mapper.heard == []
    assert [key.rpartition("/")[2] for key, _ in rows.of_type(edge.store, "devicemapper")] == ["second"]


async def test_a_device_that_changes_its_protocol_changes_its_mapper(
    tmp_path: Path, edge: Edge, mapper: FakeMapper
) -> None:
    async with FakeMapper(tmp_path / "modbus.sock", edge.dmi.path, "modbus").listening() as other:
        await mapper.register(name="virtual")
        await other.register(name="modbus")
        await edge.device(model="")
        await mapper.hears(1)
        await edge.device(model="", protocol="modbus")
        assert (await mapper.hears(2))[1:] == [("RemoveDevice", "d")]
        assert await other.hears(1) == [("RegisterDevice", "d")]


async def test_what_a_mapper_refuses_is_not_said_again_until_it_changes(
    edge: Edge, mapper: FakeMapper
) -> None:
    await mapper.register()
    mapper.refuse = {"RegisterDevice"}
    await edge.device(model="")
    await mapper.hears(1)
    await edge.device(model="")
    await edge.device("other", model="")
    await mapper.hears(2)
    await edge.device(model="", value="2")
    assert (await mapper.hears(3))[1:] == [("RegisterDevice", "other"), ("UpdateDevice", "d")]


async def test_reports_go_to_devicetwin(edge: Edge, mapper: FakeMapper) -> None:
    await edge.device(model="")
    await mapper.register()
    await mapper.report(temperature="21.5", label="ein Wörtchen")
    request = {
        "deviceName": "d",
        "deviceNamespace": "default",
        "reportedDevice": {
            "twins": [
                {"propertyName": "switch", "observedDesired": {"value": "1"}},
                {"propertyName": "level", "observedDesired": {"value": ""}, "reported": {"value": ""}},
            ]
        },
    }
    await mapper.call("ReportDeviceStatus", ParseDict(request, pb.ReportDeviceStatusRequest()))
    state = pb.ReportDeviceStatesRequest(deviceName="d", deviceNamespace="default", state="OFFLINE")
    await mapper.call("ReportDeviceStates", state)
    assert edge.reports == [
        (
            "default/d",
            {"temperature": {"actual": {"value": "21.5"}}, "label": {"actual": {"value": "ein Wörtchen"}}},
        ),
        ("default/d", {"switch": {"expected": {"value": "1"}}, "level": {"actual": {"value": ""}}}),
        ("default/d", "OFFLINE"),
    ]


async def test_what_devicetwin_refuses_is_told_and_costs_the_others_nothing(
    edge: Edge, mapper: FakeMapper
) -> None:
    await edge.device(model="")
    edge.refuse = lambda twins: Refused(400, "the value is not float") if "level" in twins else None
    with pytest.raises(CallError, match=r"INVALID_ARGUMENT: reportedDevice\.twins\[1\]: .* not float"):
        await mapper.report(flow="1", level="high", speed="3")
    assert [list(twins) for _, twins in edge.reports] == [["flow"], ["speed"]]
    edge.refuse = lambda _: Refused(404, "no device")
    with pytest.raises(CallError, match="NOT_FOUND: deviceName: no device"):
        await mapper.report(level="1")


TWIN = {"propertyName": "x", "reported": {"value": "1"}}


@pytest.mark.parametrize(
    ("method", "change", "told"),
    [
        ("MapperRegister", {"mapper": {"name": ""}}, r"mapper\.name: is empty"),
        ("MapperRegister", {"mapper": {"name": "m"}}, r"mapper\.protocol: is empty"),
        (
            "MapperRegister",
            {"mapper": {"name": "m", "protocol": "p"}},
            r"mapper\.address: expected the absolute",
        ),
        ("ReportDeviceStatus", {"deviceName": ""}, "deviceName: is empty"),
        ("ReportDeviceStatus", {"deviceNamespace": ""}, "deviceNamespace: is empty"),
        ("ReportDeviceStatus", {"deviceName": "nosuch"}, "NOT_FOUND: deviceName: .*default/nosuch"),
        ("ReportDeviceStatus", {"reportedDevice": {}}, r"reportedDevice\.twins: is empty"),
        (
            "ReportDeviceStatus",
            {"reportedDevice": {"twins": [TWIN, {}]}},
            r"twins\[1\]\.propertyName: expected",
        ),
        (
            "ReportDeviceStatus",
            {"reportedDevice": {"twins": [{"propertyName": "x"}]}},
            r"twins\[0\]: neither observedDesired nor reported",
        ),
        (
            "ReportDeviceStatus",
            {"reportedDevice": {"twins": [{"propertyName": "x", "reported": {"value": "x" * 513}}]}},
            r"twins\[0\]\.reported\.value: .*512",
        ),
        ("ReportDeviceStates", {"state": "bogus"}, "state: 'bogus' is none of"),
        ("ReportDeviceStates", {"state": ""}, "state: '' is none of"),
    ],
)
async def test_what_is_wrong_is_named(
    edge: Edge, mapper: FakeMapper, method: str, change: dict[str, Any], told: str
) -> None:
    await edge.device(model="")
    body: dict[str, Any] = (
        {} if method == "MapperRegister" else {"deviceName": "d", "deviceNamespace": "default"}
    )
    if method == "ReportDeviceStatus":
        body["reportedDevice"] = {"twins": [TWIN]}
    with pytest.raises(CallError, match=told):
        await mapper.call(method, ParseDict({**body, **change}, MANAGER[method].request()))
    assert edge.reports == []


async def test_a_loud_mapper_is_slowed_and_its_neighbour_is_not(
    edge: Edge, mapper: FakeMapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgelab.edgecore.dmi.service.Bucket", lambda clock: Bucket(clock, 0.001, 3))
    await edge.device(model="")
    await edge.device("other", model="", protocol="modbus")
    for _ in range(3):
        await mapper.report(x="1")
    with pytest.raises(CallError, match=r"RESOURCE_EXHAUSTED: more than .* 'virtual'"):
        await mapper.report(x="1")
    await mapper.report("other", x="1")


def test_a_bucket_fills_with_time() -> None:
    class Still(SystemClock):
        time = 0.0

        def monotonic(self) -> float:
            return self.time

    clock = Still()
    bucket = Bucket(clock, 2, 4)
    assert [bucket.take() for _ in range(5)] == [True] * 4 + [False]
    clock.time = 1.0
    assert [bucket.take() for _ in range(3)] == [True, True, False]


async def test_nonsense_in_the_store_is_no_reason_to_end(tmp_path: Path) -> None:
    async with Store(tmp_path / "e.db", META_TABLES) as store:
        for kind, text in (("device", "[]"), ("devicemodel", '{"spec": 1}'), ("devicemapper", '{"name": 1}')):
            await store.submit([rows.put(f"default/{kind}/x", kind, text.encode())])
        edge = Edge(tmp_path, store)
        async with edge.running(), FakeMapper(tmp_path / "m.sock", edge.dmi.path).listening() as mapper:
            assert not (await mapper.register()).deviceList
            await edge.put("device", "odd", protocol={"protocolName": "virtual", "configData": {"a": {}}})
            await edge.device("fine", model="")
            assert await mapper.hears(1) == [("RegisterDevice", "fine")]


async def test_old_files_name_the_socket_itself(tmp_path: Path) -> None:
    async with Store(tmp_path / "e.db", META_TABLES) as store:
        edge = Edge(tmp_path / "deep" / "my.sock", store)
        async with edge.running():
            assert edge.dmi.path == tmp_path / "deep" / "my.sock"
        assert not edge.dmi.path.exists()


def test_grpc_is_not_loaded_before_a_mapper_calls(tmp_path: Path) -> None:
    code = (
        "import asyncio, pathlib, sys\n"
        "from edgelab.daemon.clock import SYSTEM\n"
        "from edgelab.edgecore.dmi.module import Dmi\n"
        "from edgelab.edgecore.store import META_TABLES, Store\n"
        "async def main():\n"
        f"    async with Store(pathlib.Path({str(tmp_path / 'x.db')!r}), META_TABLES) as store:\n"
        f"        dmi = Dmi({str(tmp_path)!r}, store, SYSTEM, None)\n"
        "        task = asyncio.create_task(dmi.run())\n"
        "        while not dmi.path.exists():\n"
        "            await asyncio.sleep(0.01)\n"
        "        dmi.object_changed('device', 'default/x')\n"
        "        await asyncio.sleep(0.05)\n"
        "        loaded = [m for m in sys.modules if m.split('.')[0] in ('grpclib', 'google', 'h2')]\n"
        "        await asyncio.open_unix_connection(str(dmi.path))\n"
        "        while 'grpclib' not in sys.modules:\n"
        "            await asyncio.sleep(0.01)\n"
        "        task.cancel()\n"
        "        sys.exit(', '.join(loaded) or 0)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_call_that_is_too_large_is_refused(edge: Edge) -> None:
    peer = Peer(str(edge.dmi.path))
    request = pb.ReportDeviceStatesRequest(state="x" * (5 << 20))
    method = MANAGER["ReportDeviceStates"]
    with pytest.raises(CallError, match="RESOURCE_EXHAUSTED: ReportDeviceStatesRequest: the message has"):
        await peer.call(method.path, request, method.answer, 10)
    peer.close()
