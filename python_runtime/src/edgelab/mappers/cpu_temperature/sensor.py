"""Where a temperature comes from: Linux thermal zones, hwmon, or a simulation that says so.

Facts: kernel `Documentation/driver-api/thermal/sysfs-api.rst` and `Documentation/hwmon/sysfs-interface.rst`;
both give millidegrees Celsius.
"""

from __future__ import annotations

import math
import random
from collections import deque
from pathlib import Path
from typing import Protocol

from edgelab.daemon.errors import Fatal

SYSFS = Path("/sys/class")
CPU_ZONES = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal", "acpitz")
"""Names of zones that mean the CPU, best first; any other zone is better than none."""
CPU_CHIPS = ("coretemp", "k10temp", "cpu_thermal", "zenpower")
PLAUSIBLE = (-40.0, 150.0)
KINDS = ("auto", "thermal", "hwmon", "simulated")


class Sensor(Protocol):
    """Gives degrees Celsius."""

    kind: str
    """thermal, hwmon or simulated."""
    source: str
    """Where the value comes from, for people."""

    def read(self) -> float:
        """One reading. Raises OSError or ValueError when the sensor does not answer now."""
        ...


class FileSensor:
    """A sysfs file in millidegrees."""

    def __init__(self, kind: str, path: Path) -> None:
        self.kind = kind
        self.source = str(path)
        self._path = path

    def read(self) -> float:
        """One reading. Raises OSError, ValueError."""
        value = int(self._path.read_text()) / 1000
        if not PLAUSIBLE[0] <= value <= PLAUSIBLE[1]:
            raise ValueError(f"{self.source} says {value} degrees")
        return value


class SimulatedSensor:
    """A slow wave with noise between 40 and 60 degrees that does not give a recent value again."""

    kind = "simulated"
    source = "simulated"

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._step = 0
        self._recent: deque[float] = deque(maxlen=1024)

    def read(self) -> float:
        """One reading, with three decimals."""
        self._step += 1
        wave = 50 + 8 * math.sin(self._step / 45) + 2 * math.sin(self._step / 7)
        value = round(wave + self._random.uniform(-0.5, 0.5), 3)
        while value in self._recent:
            value = round(value + 0.001, 3)
        self._recent.append(value)
        return value


def find(kind: str = "auto", sysfs: Path = SYSFS) -> Sensor:
    """The best sensor of a kind; `auto` takes a simulated one where there is none. Raises Fatal."""
    if kind not in KINDS:
        raise Fatal(f"sensor {kind!r}: expected one of {', '.join(KINDS)}")
    if kind == "simulated":
        return SimulatedSensor()
    candidates: list[FileSensor] = []
    if kind in ("auto", "thermal"):
        candidates += thermal_zones(sysfs)
    if kind in ("auto", "hwmon"):
        candidates += hwmon_inputs(sysfs)
    for sensor in candidates:
        if _answers(sensor):
            return sensor
    if kind == "auto":
        return SimulatedSensor()
    raise Fatal(f"no {kind} sensor answers below {sysfs}: take another kind, or `auto`")


def thermal_zones(sysfs: Path) -> list[FileSensor]:
    """Thermal zones, those of the CPU first."""
    zones = sorted((sysfs / "thermal").glob("thermal_zone*"))
    zones.sort(key=lambda zone: _rank(_word(zone / "type"), CPU_ZONES))
    return [FileSensor("thermal", zone / "temp") for zone in zones]


def hwmon_inputs(sysfs: Path) -> list[FileSensor]:
    """Temperature inputs of hwmon chips, those of the CPU first."""
    chips = sorted((sysfs / "hwmon").glob("hwmon*"))
    chips.sort(key=lambda chip: _rank(_word(chip / "name"), CPU_CHIPS))
    return [FileSensor("hwmon", path) for chip in chips for path in sorted(chip.glob("temp*_input"))]


def _rank(word: str, order: tuple[str, ...]) -> int:
    return order.index(word) if word in order else len(order)


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _answers(sensor: FileSensor) -> bool:
    try:
        sensor.read()
    except (OSError, ValueError):
        return False
    return True
