"""device_info: which devices it asks for, and how it waits for what they report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.module_utils.polling import poll
from ansible_collections.edgelab.kubeedge.plugins.modules import device_info

from tests.unit.module_harness import FakeKeadm, run

HOT = "devices[0].properties.temperature.reported.value > `50`"


class Time:
    """A clock that a test drives: each pause does what the test says, and takes no time."""

    def __init__(self, pausing: Callable[[int], None] = lambda _: None) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self._pausing = pausing

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        self._pausing(len(self.pauses))


def boiler(temperature: float | None) -> dict[str, Any]:
    """A device as keadm tells of it."""
    stamp = {"timestamp": "2026-01-01T00:00:04.500Z", "age": 3.4}
    reported = None if temperature is None else {"value": temperature, **stamp}
    properties = {"temperature": {"type": "FLOAT", "reported": reported}}
    return {"name": "cellar", "namespace": "default", "properties": properties}


@pytest.fixture
def telling(keadm: FakeKeadm) -> Callable[[float | None], None]:
    def tell(temperature: float | None) -> None:
        keadm.answer(default={"changed": False, "devices": [boiler(temperature)]})

    return tell


def test_every_choice_reaches_keadm(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={"changed": False, "devices": [boiler(21.5)]})
    options = {"name": "cellar", "namespace": "default", "node": "edge1", "model": "boiler"}
    result = run(device_info, **options, label_selectors=["floor=0", "sensor in (a, b)"], **cluster)
    [(words, _)] = keadm.calls
    assert words == [
        *("device", "list", "--kube-config", cluster["kubeconfig"]),
        *("--name", "cellar", "--namespace", "default", "--node", "edge1", "--model", "boiler"),
        *("--selector", "floor=0,sensor in (a, b)", "--output", "json"),
    ]
    assert (result["changed"], result["devices"]) == (False, [boiler(21.5)])


def test_without_a_choice_all_devices_are_told(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={"changed": False, "devices": []})
    assert run(device_info, **cluster)["devices"] == []
    assert keadm.calls[0][0] == ["device", "list", "--kube-config", cluster["kubeconfig"], "--output", "json"]


def test_it_waits_no_longer_than_until_the_expression_holds(
    keadm: FakeKeadm,
    cluster: dict[str, str],
    telling: Callable[[float | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Time(lambda number: telling(40.0 if number < 3 else 60.0))
    monkeypatch.setattr(device_info, "poll", partial(poll, clock=clock))
    telling(None)
    result = run(device_info, until=HOT, wait_timeout=60, **cluster)
    assert (result["failed"], result["devices"]) == (False, [boiler(60.0)])
    assert (len(keadm.calls), clock.pauses) == (4, [0.5, 1.0, 2.0])


def test_what_does_not_come_in_time_fails_with_the_expression_and_the_last_values(
    cluster: dict[str, str], telling: Callable[[float | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Time()
    monkeypatch.setattr(device_info, "poll", partial(poll, clock=clock))
    telling(40.0)
    result = run(device_info, until=HOT, wait_timeout=30, **cluster)
    assert result["failed"]
    assert result["msg"] == (
        f"device_info: until {HOT!r} did not hold within 30 s;"
        " last values: default/cellar temperature=40.0 (3 s ago)"
    )
    assert result["devices"] == [boiler(40.0)]
    assert sum(clock.pauses) == 30
    assert max(clock.pauses) == 4


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ([], "no devices"),
        ([boiler(None)], "default/cellar temperature not reported"),
        ([{**boiler(None), "properties": {}}], "default/cellar has no properties"),
        ([boiler(1.0)] * 7, "; 2 more devices"),
    ],
)
def test_the_last_values_are_few_words(devices: list[dict[str, Any]], words: str) -> None:
    assert words in device_info.values(devices)


def test_an_api_server_that_is_away_is_waited_for_and_other_failures_are_not(
    keadm: FakeKeadm,
    cluster: dict[str, str],
    telling: Callable[[float | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_info, "poll", partial(poll, clock=Time(lambda _: telling(60.0))))
    keadm.answer(default={"error": "the API server cannot be reached", "reason": "Unreachable"})
    assert run(device_info, until=HOT, **cluster)["devices"] == [boiler(60.0)]
    keadm.answer(default={"error": "forbidden", "reason": "Forbidden"})
    assert run(device_info, until=HOT, **cluster)["msg"] == "device_info: forbidden"
    keadm.answer(default={"error": "cannot be reached", "reason": "Unreachable"})
    assert run(device_info, **cluster)["msg"] == "device_info: cannot be reached"


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("devices", True),
        ("devices[0].properties.temperature.reported.value", True),
        ("devices[?name == 'attic']", False),
        ("devices[0].none", False),
        ("devices[0].name == 'attic'", False),
        ("`0`", True),
        ("abs(devices[0].none)", False),
    ],
)
def test_what_jmespath_takes_for_true(expression: str, holds: bool) -> None:
    condition = device_info.Condition(expression)
    assert condition.holds([boiler(0.0)]) is holds
    assert bool(condition.problem) is ("abs" in expression)


def test_an_expression_that_is_none_fails_before_anybody_is_asked(
    keadm: FakeKeadm, cluster: dict[str, str]
) -> None:
    result = run(device_info, until="devices[", **cluster)
    assert (result["failed"], keadm.calls) == (True, [])
    assert "until: 'devices[' is no JMESPath expression" in result["msg"]


def test_check_mode_looks_once_and_does_not_fail(
    keadm: FakeKeadm, cluster: dict[str, str], telling: Callable[[float | None], None]
) -> None:
    telling(40.0)
    result = run(device_info, until=HOT, **cluster, _ansible_check_mode=True)
    assert (result["failed"], result["devices"], len(keadm.calls)) == (False, [boiler(40.0)], 1)


def test_a_host_without_jmespath_is_told_what_to_install_and_can_do_the_rest(
    keadm: FakeKeadm, cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_info, "jmespath", None)
    result = run(device_info, until=HOT, **cluster)
    assert (result["failed"], keadm.calls) == (True, [])
    assert "apt install python3-jmespath, on the host that the task runs on" in result["msg"]
    keadm.answer(default={"changed": False, "devices": []})
    assert run(device_info, **cluster)["failed"] is False
