"""Methods, samples and a target that a test holds in its hands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgelab.mappers.sdk.push.sample import Sample
from edgelab.mappers.sdk.push.target import Item, Target
from edgelab.objects.pushmethods import Method, parse

TIME = 1_767_225_600_123
"""2026-01-01 00:00:00.123 UTC."""


def sample(value: str = "26.5", type: str = "float", **changes: Any) -> Sample:
    return Sample("default", "thermo-1", "temperature", type, value, TIME)._replace(**changes)


def method(push: dict[str, Any]) -> Any:
    found = parse(push)
    assert found.faults == ()
    return found.methods[0]


HTTP: Method = method({"http": {"hostName": "http://h", "port": 80, "requestPath": "/x"}})


def items(*values: str, method: Method = HTTP) -> list[Item]:
    return [Item(method, sample(value)) for value in values]


class FakeTarget(Target):
    """Keeps what it gets, unless `fail` says otherwise; `bad` values are refused."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.got: list[str] = []
        self.fail: BaseException | None = None
        self.bad: dict[str, Exception] = {}
        self.closed = 0

    async def send(self, items: Sequence[Item]) -> None:
        values = [item.sample.value for item in items]
        self.calls.append(values)
        if self.fail:
            raise self.fail
        for value in values:
            if value in self.bad:
                raise self.bad[value]
        self.got += values

    async def close(self) -> None:
        self.closed += 1
