"""One device's life with a driven clock: cycles, wanted values, failures, reports."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.mappers.parts import FakeDriver, FakeLink, StepClock, messages, settle

from edgelab.mappers.sdk.agenda import Agenda
from edgelab.mappers.sdk.fleet import Fleet
from edgelab.mappers.sdk.link import Offline, Refused
from edgelab.mappers.sdk.messages import build
from edgelab.mappers.sdk.runner import BadValue, NotThere, Runner


class Life:
    def __init__(self, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        model, device = messages(change=change)
        self.driver = FakeDriver(build(device, model))
        self.link = FakeLink()
        self.clock = StepClock()
        self.runner = Runner(self.driver, self.link, self.clock)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Life]:
        task = asyncio.create_task(self.runner.run())
        await settle()
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_properties_are_read_and_reported_in_their_own_cycles() -> None:
    async with Life().running() as life:
        await life.clock.advance(6)
        assert life.driver.count("read", "level") == 7
        assert life.driver.count("read", "switch") == 4
        reports = [batch["level"] for batch in life.link.values if "level" in batch]
        assert len(reports) == 3  # at 0, 3 and 6 s
    assert life.driver.calls[-1] == ("close",)


async def test_what_is_wanted_is_written_first_and_again_when_it_changes() -> None:
    async with Life().running() as life:
        assert life.driver.calls[:2] == [("open",), ("write", "switch", 1)]
        life.runner.update(life.runner.device.wanting({"switch": "4", "nothing": "x"}))
        await settle()
        assert life.driver.count("write", "switch", 4) == 1
        await life.clock.advance(2)
        assert life.driver.count("write", "switch", 4) == 1
        assert life.link.values[-1]["switch"] == "4"


@pytest.mark.parametrize("wanted", ["ten", "10", "-1"])
async def test_a_wanted_value_that_is_none_is_not_written(
    wanted: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Life().running() as life:
        life.runner.update(life.runner.device.wanting({"switch": wanted}))
        await settle()
        assert [call for call in life.driver.calls if call[0] == "write"] == [("write", "switch", 1)]
        assert (
            f"the desired value of switch is not written: {wanted!r}" in caplog.text or wanted in caplog.text
        )


async def test_a_device_that_fails_is_connected_anew_and_gets_its_values_again() -> None:
    async with Life().running() as life:
        life.driver.broken = TimeoutError("silent")
        await life.clock.advance(4)
        assert life.runner.health in ("unhealthy", "offline")
        opened = life.driver.count("open")
        assert opened >= 2
        await life.clock.advance(120)
        assert life.runner.health == "offline"
        assert "offline" in life.link.states
        life.driver.broken = None
        await life.clock.advance(61)
        assert life.runner.health == "online"
        assert life.link.states[-1] == "online"
        assert life.driver.count("write", "switch", 1) == 2


async def test_a_defect_of_the_driver_costs_a_reading_not_the_device() -> None:
    async with Life().running() as life:
        life.driver.values["level"] = TypeError("oops")
        await life.clock.advance(1)
        life.driver.values["level"] = 5.5
        await life.clock.advance(10)
        assert life.runner.latest["level"].value == "5.5"


async def test_health_is_the_drivers_word_and_is_repeated() -> None:
    async with Life().running() as life:
        await life.clock.advance(1)
        assert life.runner.health == "online"
        life.driver.health = "unhealthy"
        await life.clock.advance(20)
        assert life.link.states[-2:] == ["unhealthy", "unhealthy"]


async def test_without_a_link_the_newest_value_waits() -> None:
    async with Life().running() as life:
        life.link.fail = Offline("nobody")
        life.link.values.clear()
        for value in (1.5, 2.5, 3.5):
            life.driver.values["level"] = value
            await life.clock.advance(3)
        assert life.link.values == []
        life.link.fail = None
        await life.clock.advance(15)
        assert life.link.values[0]["level"] == "3.5"


async def test_what_edgecore_refuses_is_told_once_and_not_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    life = Life()
    life.link.fail = Refused("EdgeCore refuses: NOT_FOUND")
    async with life.running():
        await life.clock.advance(12)
        assert caplog.text.count("EdgeCore refuses: NOT_FOUND") == 1


async def test_a_state_that_is_refused_costs_no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise Refused("EdgeCore refuses: INVALID_ARGUMENT: state")

    life = Life()
    monkeypatch.setattr(life.link, "report_state", refuse)
    async with life.running():
        await life.clock.advance(1)
        assert life.link.values[0]["level"] == "0"


async def test_a_property_that_is_not_for_the_cloud_is_read_and_not_reported() -> None:
    def quiet(spec: dict[str, Any]) -> None:
        spec["properties"][0]["reportToCloud"] = False

    async with Life(quiet).running() as life:
        await life.clock.advance(3)
        assert life.driver.count("read", "level") == 4
        assert not any("level" in batch for batch in life.link.values)


async def test_reading_and_writing_by_hand() -> None:
    async with Life().running() as life:
        await life.runner.write("switch", "3")
        assert (await life.runner.read("switch")).value == "3"
        with pytest.raises(BadValue, match="read-only"):
            await life.runner.write("level", "3")
        with pytest.raises(BadValue, match=r"switch: 99: outside of 0 to 9"):
            await life.runner.write("switch", "99")
        with pytest.raises(NotThere, match="no property 'speed'"):
            await life.runner.read("speed")


def test_moments_are_fixed_and_missed_ones_left_out() -> None:
    agenda = Agenda({"a": 1.0, "b": 2.5}, 0.0)
    assert [agenda.take(0.0), agenda.take(0.0)] == ["a", "b"]
    assert agenda.wait(0.4) == pytest.approx(0.6)
    assert agenda.take(3.2) == "a"  # 1, 2 and 3 have passed
    assert agenda.take(3.2) == "b"
    assert agenda.wait(3.2) == pytest.approx(0.8)
    assert Agenda({}, 0.0).wait(0.0) is None


def test_what_a_device_asks_in_vain_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def old(spec: dict[str, Any]) -> None:
        spec["properties"][0]["collectCycle"] = 1_000_000_000

    model, device = messages(change=old)
    assert build(device, model).properties["level"].collect == 1_000_000
    assert "d: collectCycle of level is 11 days" in caplog.text


class Fleets:
    def __init__(self) -> None:
        self.drivers: list[FakeDriver] = []
        self.fleet = Fleet(self._drive, StepClock())
        self.fleet.attach(FakeLink())

    def _drive(self, device: Any) -> FakeDriver:
        self.drivers.append(FakeDriver(device))
        return self.drivers[-1]

    def alive(self) -> list[str]:
        return [driver.device.name for driver in self.drivers if ("close",) not in driver.calls]


@pytest.fixture
async def fleets() -> AsyncIterator[Fleets]:
    fleets = Fleets()
    yield fleets
    await fleets.fleet.close()


async def test_devices_come_change_and_go(fleets: Fleets) -> None:
    model, device = messages()
    fleets.fleet.put(device)
    assert fleets.drivers == []  # its model is not here yet
    fleets.fleet.put_model(model)
    fleets.fleet.put(device)
    await settle()
    assert fleets.alive() == ["d"]

    def want(spec: dict[str, Any]) -> None:
        spec["properties"][1]["desired"]["value"] = "5"

    fleets.fleet.put(messages(change=want)[1])
    await settle()
    assert len(fleets.drivers) == 1
    assert ("write", "switch", 5) in fleets.drivers[0].calls

    def move(spec: dict[str, Any]) -> None:
        spec["protocol"]["configData"]["port"] = 8

    fleets.fleet.put(messages(change=move)[1])
    await settle()
    assert [driver.device.config["port"] for driver in fleets.drivers] == [7, 8]
    assert fleets.drivers[0].calls[-1] == ("close",)
    fleets.fleet.remove("default/d")
    await settle()
    assert fleets.alive() == []
    with pytest.raises(NotThere, match="no device default/d"):
        fleets.fleet.runner("default/d")


async def test_a_device_that_comes_back_at_once_waits_until_it_was_let_go(fleets: Fleets) -> None:
    model, device = messages()
    fleets.fleet.replace([model], [device])
    await settle()
    closing = asyncio.Event()

    async def close() -> None:
        await closing.wait()
        fleets.drivers[0].calls.append(("close",))

    fleets.drivers[0].close = close  # type: ignore[method-assign]
    for _ in range(2):
        fleets.fleet.remove("default/d")
        fleets.fleet.put(device)
        await settle()
    assert [driver.calls for driver in fleets.drivers[1:]] == [[], []]
    closing.set()
    await settle()
    assert [driver.calls[:1] for driver in fleets.drivers[1:]] == [[], [("open",)]]


async def test_a_list_replaces_what_is_there(fleets: Fleets) -> None:
    model, stays = messages("stays")
    fleets.fleet.replace([model], [stays, messages("goes")[1]])
    await settle()
    fleets.fleet.replace([model], [stays, messages("new")[1]])
    await settle()
    assert sorted(fleets.alive()) == ["new", "stays"]
    assert len(fleets.drivers) == 3


async def test_a_device_that_cannot_be_used_is_named_and_the_others_run(
    fleets: Fleets, caplog: pytest.LogCaptureFixture
) -> None:
    def strange(spec: dict[str, Any]) -> None:
        spec["properties"].append({"name": "speed"})

    model, good = messages("good")
    fleets.fleet.replace([model], [messages("bad", change=strange)[1], good])
    await settle()
    assert fleets.alive() == ["good"]
    assert "device.spec.properties[2].name: model m has no property 'speed'" in caplog.text
