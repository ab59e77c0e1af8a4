"""What runs on the hosts, seen from the machine: no login, so it also works with a plug pulled."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypedDict

from nspawn_lab import control
from nspawn_lab.definition import Host, Lab
from nspawn_lab.shell import LabError


class Daemon(TypedDict):
    """One systemd service of a host; memory in MiB, of its main process and of all its processes."""

    unit: str
    program: str
    pid: int
    resident_mib: float
    all_processes_mib: float


class HostStatus(TypedDict):
    """One host; `state` is `running`, `booting` (does not answer, or is unplugged) or `off`."""

    address: str
    state: str
    daemons: list[Daemon]


def status(lab: Lab) -> dict[str, HostStatus]:
    """Every host of the lab with its services."""
    _, hosts = lab.load()
    return {
        name: HostStatus(address=host.address, state=_state(lab, host), daemons=services(lab, host))
        for name, host in hosts.items()
    }


def services(lab: Lab, host: Host) -> list[Daemon]:
    """The services of a host, by name.

    A service's main process is its oldest: the shims of containers, in containerd's service, are younger.
    """
    inside = re.compile(
        rf"/{re.escape(lab.mark)}-{re.escape(host.name)}(?:\.service)?/.*/([^/]+)\.service(?:/|$)"
    )
    found: dict[str, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines = (folder / "cgroup").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        paths = [line.split(":", 2)[2] for line in lines if line.split(":", 2)[1] in ("", "name=systemd")]
        match = next(filter(None, (inside.search(path) for path in paths)), None)
        if match:
            found.setdefault(match[1], []).append(int(folder.name))
    return [daemon for unit, pids in sorted(found.items()) if (daemon := _daemon(unit, sorted(pids)))]


def _daemon(unit: str, pids: list[int]) -> Daemon | None:
    sizes = [resident_mib(pid) for pid in pids]
    try:
        program = Path(f"/proc/{pids[0]}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return Daemon(
        unit=unit,
        program=program,
        pid=pids[0],
        resident_mib=round(sizes[0], 1),
        all_processes_mib=round(sum(sizes), 1),
    )


def resident_mib(pid: int) -> float:
    """Resident memory (VmRSS) of a process; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _state(lab: Lab, host: Host) -> str:
    try:
        control.leader(lab, host)
    except LabError:
        return "off"
    return "running" if control.answers(host) else "booting"
