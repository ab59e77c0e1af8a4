"""Eviction thresholds and what follows from observations (kubelet `eviction/helpers.go`). No I/O.

A threshold is met while less is available than it says; a soft one counts once it was met for its grace
period. A condition stays for the transition period after the last time that its threshold was met.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edgelab.objects import quantity
from edgelab.settings.durations import seconds
from edgelab.settings.kubelet import TailoredKubeletConfig

MEMORY, DISK, PIDS = "MemoryPressure", "DiskPressure", "PIDPressure"


class Signal(NamedTuple):
    """What runs short, as the kubelet's messages call it, and the node condition that says so."""

    resource: str
    condition: str


SIGNALS = {
    "memory.available": Signal("memory", MEMORY),
    "nodefs.available": Signal("ephemeral-storage", DISK),
    "nodefs.inodesFree": Signal("inodes", DISK),
    "imagefs.available": Signal("ephemeral-storage", DISK),
    "imagefs.inodesFree": Signal("inodes", DISK),
    "pid.available": Signal("pids", PIDS),
}


class Level(NamedTuple):
    """What is available of what there is: bytes, inodes or process ids."""

    available: int
    capacity: int


Levels = Mapping[str, Level]
"""By signal. A signal that cannot be observed is missing, and its thresholds are never met."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """`value` and `reclaim` are quantities or percentages; `grace` in seconds, 0 for a hard threshold."""

    signal: str
    value: str
    grace: float = 0.0
    reclaim: str = ""

    @property
    def hard(self) -> bool:
        """Whether pods are ended at once."""
        return self.grace == 0

    def met(self, levels: Levels, *, with_reclaim: bool = False) -> bool:
        """Whether too little is available; `with_reclaim` asks for the minimum to be reclaimed on top."""
        level = levels.get(self.signal)
        if level is None or level.capacity <= 0:
            return False
        wanted = amount(self.value, level.capacity)
        if with_reclaim and self.reclaim:
            wanted += amount(self.reclaim, level.capacity)
        return level.available < wanted


def amount(value: str, capacity: int) -> int:
    """A quantity or a percentage of the capacity, in base units. Raises ValueError."""
    if value.endswith("%"):
        return int(capacity * float(value[:-1]) / 100)
    return quantity.whole(value)


def parse(config: TailoredKubeletConfig) -> list[Threshold]:
    """The thresholds of the settings. Raises ValueError that names the field."""
    for name in ("evictionHard", "evictionSoft", "evictionSoftGracePeriod", "evictionMinimumReclaim"):
        for signal, value in getattr(config, name).items():
            if signal not in SIGNALS:
                raise ValueError(f"{name}: {signal!r} is none of {', '.join(SIGNALS)}")
            if name != "evictionSoftGracePeriod":
                _check(f"{name}: {signal}", value)
    found = [
        Threshold(signal, value, reclaim=config.evictionMinimumReclaim.get(signal, ""))
        for signal, value in config.evictionHard.items()
        if _means_something(value)
    ]
    for signal, value in config.evictionSoft.items():
        period = config.evictionSoftGracePeriod.get(signal)
        if period is None:
            raise ValueError(f"evictionSoftGracePeriod: {signal} is missing, which evictionSoft needs")
        reclaim = config.evictionMinimumReclaim.get(signal, "")
        if _means_something(value):
            found.append(Threshold(signal, value, max(seconds(period), 0.001), reclaim))
    return found


class Judge:
    """Remembers since when thresholds are met, and until when conditions last; monotonic seconds."""

    def __init__(self, thresholds: Iterable[Threshold], transition: float) -> None:
        self.thresholds = list(thresholds)
        self._transition = transition
        self._since: dict[Threshold, float] = {}
        self._seen: dict[str, float] = {}
        self._unresolved: set[Threshold] = set()
        self.conditions: list[str] = []

    def judge(self, levels: Levels, now: float) -> list[Threshold]:
        """The thresholds for which room has to be made now, memory first; sets `conditions`."""
        met = [
            threshold
            for threshold in self.thresholds
            if threshold.met(levels)
            or (threshold in self._unresolved and threshold.met(levels, with_reclaim=True))
        ]
        self._since = {threshold: self._since.get(threshold, now) for threshold in met}
        for threshold in met:
            self._seen[SIGNALS[threshold.signal].condition] = now
        self.conditions = [
            condition
            for condition in (MEMORY, DISK, PIDS)
            if condition in self._seen and now - self._seen[condition] < max(self._transition, 0.001)
        ]
        due = [threshold for threshold, since in self._since.items() if now - since >= threshold.grace]
        self._unresolved = set(due)
        return sorted(due, key=lambda threshold: threshold.signal != "memory.available")

    def relieved(self, levels: Levels) -> bool:
        """Whether there is enough of everything again, the minimum to be reclaimed included."""
        return not any(threshold.met(levels, with_reclaim=True) for threshold in self.thresholds)


def _check(where: str, value: str) -> None:
    try:
        percent = float(value[:-1]) if value.endswith("%") else None
        if percent is None:
            quantity.parse(value)
    except ValueError:
        raise ValueError(f"{where}: {value!r} is neither a quantity such as 100Mi nor such as 10%") from None
    if percent is not None and not 0 <= percent <= 100:
        raise ValueError(f"{where}: {value!r} is not between 0% and 100%")


def _means_something(value: str) -> bool:
    """The kubelet takes 0% and 100% as "no threshold"."""
    return value not in ("0%", "100%")
