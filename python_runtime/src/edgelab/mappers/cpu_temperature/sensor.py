"""Where a temperature comes from: Linux thermal zones, hwmon, a Pi's firmware, or a simulation that says so.

Facts: kernel `Documentation/driver-api/thermal/sysfs-api.rst` and `Documentation/hwmon/sysfs-interface.rst`;
both give millidegrees Celsius. `vcgencmd measure_temp` answers `temp=48.3'C` (Raspberry Pi documentation,
os/graphics-utilities).
"""

from __future__ import annotations

import math
import random
import re
import shutil
import subprocess
from collections import deque
from pathlib import Path
from typing import Protocol

from edgelab.daemon.errors import Fatal

SYSFS = Path("/sys/class")
CPU_ZONES = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal", "acpitz")
"""Names of zones that mean the CPU, best first; any other zone is better than none."""
CPU_CHIPS = ("coretemp", "k10temp", "cpu_thermal", "zenpower")
PLAUSIBLE = (-40.0, 150.0)
KINDS = ("auto", "thermal", "hwmon", "vcgencmd", "simulated")
FIRMWARE = re.compile(r"temp=(-?\d+(?:\.\d+)?)'C\s*")
FIRMWARE_SECONDS = 2.0
"""For an answer, which takes some milliseconds."""


class Sensor(Protocol):
    """Gives degrees Celsius."""

    kind: str
    """thermal, hwmon, vcgencmd or simulated."""
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
        return _plausible(int(self._path.read_text()) / 1000, self.source)


class FirmwareSensor:
    """A Raspberry Pi's firmware, which is asked by `vcgencmd`."""

    kind = "vcgencmd"

    def __init__(self, program: str) -> None:
        self.source = f"{program} measure_temp"
        self._program = program

    def read(self) -> float:
        """One reading. Raises OSError, ValueError."""
        try:
            done = subprocess.run(  # noqa: S603 - a program of the system
                [self._program, "measure_temp"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=True,
                timeout=FIRMWARE_SECONDS,
            )
        except subprocess.SubprocessError as error:
            raise OSError(str(error)) from None
        answer = FIRMWARE.fullmatch(done.stdout)
        if answer is None:
            raise ValueError(f"{self.source} says {done.stdout[:80]!r}")
        return _plausible(float(answer[1]), self.source)


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
    candidates: list[Sensor] = []
    if kind in ("auto", "thermal"):
        candidates += thermal_zones(sysfs)
    if kind in ("auto", "hwmon"):
        candidates += hwmon_inputs(sysfs)
    program = shutil.which("vcgencmd") if kind in ("auto", "vcgencmd") else None
    if program:
        candidates.append(FirmwareSensor(program))
    for sensor in candidates:
        if _answers(sensor):
            return sensor
    if kind == "auto":
        return SimulatedSensor()
    where = "by vcgencmd" if kind == "vcgencmd" else f"below {sysfs}"
    raise Fatal(f"no {kind} sensor answers {where}: take another kind, or `auto`")


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


def _plausible(value: float, source: str) -> float:
    if not PLAUSIBLE[0] <= value <= PLAUSIBLE[1]:
        raise ValueError(f"{source} says {value} degrees")
    return value


def _answers(sensor: Sensor) -> bool:
    try:
        sensor.read()
    except (OSError, ValueError):
        return False
    return True
