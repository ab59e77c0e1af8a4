"""What /proc says of a process: memory and CPU time."""

from __future__ import annotations

import os
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class Usage:
    """A process from outside; the CPU share is of one core, since `begin`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.begin()

    def begin(self) -> None:
        """Measure the CPU share from now on."""
        self._cpu, self._at = self.cpu_seconds(), time.monotonic()

    def share(self) -> float:
        """CPU of a core in percent since `begin`."""
        return 100 * (self.cpu_seconds() - self._cpu) / (time.monotonic() - self._at)

    def cpu_seconds(self) -> float:
        """CPU time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self) -> float:
        """Resident memory in MiB."""
        return self._kib("Rss:") / 1024

    def anonymous(self) -> float:
        """The part of it that no file stands behind, in MiB."""
        return self._kib("Anonymous:") / 1024

    def peak(self) -> float:
        """The most that was resident at any time, in MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("the process has ended")

    def _kib(self, field: str) -> int:
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1])
        raise RuntimeError("the process has ended")
