"""A device as its driver sees it: one object, where the API has a Device and a DeviceModel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from edgelab.mappers.sdk.values import Value, from_text
from edgelab.objects.pushmethods import NOTHING, Push

Scalar: TypeAlias = bool | int | float | str

DEFAULT_CYCLE = 1.0
"""Seconds; what a cycle of 0 means to KubeEdge's mappers."""


@dataclass(frozen=True, slots=True)
class Property:
    """A property; cycles in seconds. `report` of 0 means with every reading."""

    name: str
    type: str = "string"
    writable: bool = True
    description: str = ""
    unit: str = ""
    minimum: str = ""
    maximum: str = ""
    desired: str = ""
    """What the cloud wants, as text; empty when it wants nothing."""
    visitor: Mapping[str, Scalar] = field(default_factory=dict)
    collect: float = DEFAULT_CYCLE
    report: float = 0.0
    to_cloud: bool = True
    push: Push = NOTHING

    @property
    def cycle(self) -> float:
        """Seconds between two readings. What is pushed more often than it is collected is read as often."""
        return min(self.collect, self.report) if self.push.methods and self.report else self.collect

    @property
    def report_cycle(self) -> float:
        """Seconds between two reports to EdgeCore; 0 when each reading is reported."""
        return self.report if self.cycle == self.collect else self.collect

    def wanted(self) -> Value:
        """`desired` as a value of the property's type. Raises ValueError."""
        return self.parse(self.desired)

    def parse(self, text: str) -> Value:
        """A text as a value of the property's type, within its limits. Raises ValueError."""
        value = from_text(self.type, text)
        if self.type in ("int", "float", "double"):
            number, low, high = float(text), _limit(self.minimum), _limit(self.maximum)
            if (low is not None and number < low) or (high is not None and number > high):
                raise ValueError(f"{text}: outside of {self.minimum or '...'} to {self.maximum or '...'}")
        return value


@dataclass(frozen=True, slots=True)
class Method:
    """A named way to write some properties."""

    name: str
    description: str
    properties: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """A device with everything its driver needs; `state_cycle` in seconds, 0 when no state is reported."""

    namespace: str
    name: str
    model: str = ""
    config: Mapping[str, Scalar] = field(default_factory=dict)
    properties: Mapping[str, Property] = field(default_factory=dict)
    methods: tuple[Method, ...] = ()
    state_cycle: float = 0.0

    @property
    def id(self) -> str:
        """`<namespace>/<name>`."""
        return f"{self.namespace}/{self.name}"

    def wanting(self, desired: Mapping[str, str]) -> Device:
        """The same device with other desired values; unknown properties are left out."""
        changed = {
            name: replace(self.properties[name], desired=text)
            for name, text in desired.items()
            if name in self.properties
        }
        return replace(self, properties={**self.properties, **changed})

    def without_desired(self) -> Device:
        """The device but for what is wanted: equal when only that differs."""
        return self.wanting(dict.fromkeys(self.properties, ""))


def _limit(text: str) -> float | None:
    """A model's limit; KubeEdge takes any text for one."""
    try:
        return float(text)
    except ValueError:
        return None
