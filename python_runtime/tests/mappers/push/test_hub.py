"""A mapper's targets: shared, let go, missing, and which readings reach them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.mappers.parts import FakeDriver, FakeLink, StepClock, messages, settle
from tests.mappers.push.parts import FakeTarget

from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Unreachable
from edgelab.mappers.sdk.fleet import Fleet
from edgelab.mappers.sdk.push import hub as hubs
from edgelab.mappers.sdk.push.credentials import secret
from edgelab.objects.pushmethods import Method

REAL = hubs.target
HTTP = {"hostName": "http://h", "port": 80}
MYSQL = {"mysqlClientConfig": {"addr": "h:3306", "database": "d", "userName": "u"}}


class Mapper:
    """A fleet whose targets are the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = StepClock()
        self.drivers: list[FakeDriver] = []
        self.targets: dict[str, FakeTarget] = {}
        self.link = FakeLink()
        self.fleet = Fleet(self._drive, self.clock)
        self.fleet.attach(self.link)
        monkeypatch.setattr(hubs, "target", self._target)

    def _drive(self, device: Any) -> FakeDriver:
        self.drivers.append(FakeDriver(device))
        return self.drivers[-1]

    def _target(self, method: Method, clock: Clock) -> FakeTarget:
        assert method.place not in self.targets or self.targets[method.place].closed
        return self.targets.setdefault(method.place, FakeTarget())

    def put(self, *pushes: Any, name: str = "d", **cycles: int) -> None:
        """A device whose two properties push so; the first has these cycles."""

        def change(spec: dict[str, Any]) -> None:
            for prop, push in zip(spec["properties"], pushes, strict=False):
                prop["pushMethod"] = push
            spec["properties"][0] |= cycles

        model, device = messages(name, change=change)
        self.fleet.put_model(model)
        self.fleet.put(device)


@pytest.fixture
async def mapper(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mapper]:
    found = Mapper(monkeypatch)
    yield found
    await found.fleet.close()


async def test_samples_leave_every_report_cycle_or_with_each_reading(mapper: Mapper) -> None:
    mapper.put({"http": HTTP}, reportCycle=3000)
    mapper.put({"http": HTTP | {"port": 81}}, name="e", reportCycle=0)
    await mapper.clock.advance(6)
    assert len(mapper.targets["http://h:80"].got) == 3  # at 0, 3 and 6 s
    assert len(mapper.targets["http://h:81"].got) == 7


async def test_what_is_pushed_more_often_than_collected_is_read_as_often(mapper: Mapper) -> None:
    mapper.put({"http": HTTP}, collectCycle=10_000, reportCycle=1000)
    await mapper.clock.advance(20)
    assert len(mapper.targets["http://h:80"].got) == 21
    assert len([batch for batch in mapper.link.values if "level" in batch]) == 3  # at 0, 10 and 20 s


async def test_a_property_that_is_not_for_the_cloud_is_pushed(mapper: Mapper) -> None:
    mapper.put({"http": HTTP}, reportToCloud=False, reportCycle=0)
    await mapper.clock.advance(2)
    assert len(mapper.targets["http://h:80"].got) == 3
    assert not any("level" in batch for batch in mapper.link.values)


async def test_a_dead_target_disturbs_neither_reports_nor_other_targets(mapper: Mapper) -> None:
    mapper.put({"http": HTTP}, {"http": HTTP | {"port": 81}}, reportCycle=1000)
    await settle()
    mapper.targets["http://h:80"].fail = Unreachable("no")
    await mapper.clock.advance(60)
    assert len(mapper.targets["http://h:81"].got) == 31
    assert len([batch for batch in mapper.link.values if "level" in batch]) >= 60


async def test_devices_share_a_target_and_the_last_one_closes_it(mapper: Mapper) -> None:
    mapper.put({"http": HTTP}, {"http": HTTP})
    mapper.put({"http": HTTP}, name="e")
    await settle()
    shared = mapper.targets["http://h:80"]
    assert sorted(shared.got) == ["0", "0", "1"]
    mapper.fleet.remove("default/d")
    await settle()
    assert not shared.closed
    mapper.fleet.remove("default/e")
    await settle()
    assert shared.closed == 1


async def test_a_changed_device_keeps_its_target_and_its_queue(mapper: Mapper) -> None:
    mapper.put({"http": HTTP}, reportCycle=0)
    await settle()
    shared = mapper.targets["http://h:80"]
    shared.fail = Unreachable("no")
    await mapper.clock.advance(2)
    mapper.put({"http": HTTP}, reportCycle=0, collectCycle=2000)
    await mapper.clock.advance(2)
    assert not shared.closed
    shared.fail = None
    await mapper.clock.advance(60)
    assert len(shared.got) >= 1 + 2 + 30


async def test_a_device_that_its_driver_refuses_holds_no_target(mapper: Mapper) -> None:
    drive, mapper.fleet._drive = mapper.fleet._drive, refuse
    with pytest.raises(ValueError, match="no port"):
        mapper.put({"http": HTTP})
    mapper.fleet._drive = drive
    mapper.put({"http": HTTP})
    await settle()
    mapper.fleet.remove("default/d")
    await settle()
    assert mapper.targets["http://h:80"].closed == 1


def refuse(device: Any) -> FakeDriver:
    raise ValueError("no port")


async def test_faults_are_told_once_and_values_still_go_to_edgecore(
    mapper: Mapper, caplog: pytest.LogCaptureFixture
) -> None:
    pushes = {"http": HTTP | {"port": 0}}, {"anomalyDetection": {"a": "b"}}
    for _ in range(3):
        mapper.put(*pushes)
    await mapper.clock.advance(3)
    assert mapper.link.values[0] == {"level": "0", "switch": "1"}
    assert caplog.text.count("default/d: property level: pushMethod.http.port: 0 is no port") == 1
    assert caplog.text.count("property switch: pushMethod.anomalyDetection: is not supported") == 1
    assert mapper.targets == {}


async def test_a_library_that_is_missing_is_told_once(
    mapper: Mapper, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "target", REAL)
    for package, ours in (("aiomysql", "mysql"), ("aiohttp", "web"), ("aiohttp", "http")):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(sys.modules, f"edgelab.mappers.sdk.push.{ours}", raising=False)
    mapper.put({"http": HTTP, "dbMethod": {"mysql": MYSQL}}, {"dbMethod": {"mysql": MYSQL}})
    await mapper.clock.advance(3)
    assert caplog.text.count("pushMethod.dbMethod.mysql needs the Python package aiomysql") == 1
    assert caplog.text.count("pushMethod.http needs the Python package aiohttp") == 1
    assert "python_runtime_extras: [push] for the role, or " in caplog.text
    assert len([batch for batch in mapper.link.values if "level" in batch]) == 2  # at 0 and 3 s


async def test_a_name_too_long_for_mysql_is_told(mapper: Mapper, caplog: pytest.LogCaptureFixture) -> None:
    mapper.put({"dbMethod": {"mysql": MYSQL}}, name="d" * 60)
    await settle()
    assert mapper.targets == {}
    assert "pushMethod.dbMethod.mysql: the table" in caplog.text


async def test_the_end_gives_queues_a_little_time(mapper: Mapper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "LAST_WORDS", 0.1)
    mapper.put({"http": HTTP}, {"http": HTTP | {"port": 81}})
    await settle()
    dead, alive = mapper.targets["http://h:80"], mapper.targets["http://h:81"]
    hanging = asyncio.Event()
    dead.send = lambda items: hanging.wait()  # type: ignore[method-assign, assignment, return-value]
    await mapper.clock.advance(1)
    alive.calls.clear()
    await mapper.fleet.close()
    assert (dead.closed, alive.closed) == (1, 1)


def test_libraries_are_loaded_by_who_needs_them() -> None:
    code = (
        "import sys, edgelab.mappers.sdk.app, edgelab.mappers.sdk.dmi, edgelab.mappers.sdk.push.hub\n"
        "sys.exit(bool({'aiohttp', 'redis', 'aiomysql', 'pymysql'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_credential_is_a_variable_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("PASSWORD", raising=False)
    assert secret("PASSWORD") == ""
    monkeypatch.setenv("PASSWORD_FILE", str(tmp_path / "p"))
    with pytest.raises(Unreachable, match=r"PASSWORD_FILE: .*/p: No such file"):
        secret("PASSWORD")
    (tmp_path / "p").write_text("from file\n")
    assert secret("PASSWORD") == "from file"
    monkeypatch.setenv("PASSWORD", "from variable")
    assert secret("PASSWORD") == "from variable"
