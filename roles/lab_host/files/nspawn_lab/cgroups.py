"""A cgroup subtree per host, in every hierarchy that this machine has.

Without one, two hosts would share the group `payload` that systemd-nspawn makes, and corrupt each
other. Where systemd is PID 1 a delegated unit is that subtree (see `launch`); elsewhere groups are made
at the root of each hierarchy, because the group of a login session may go away with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from nspawn_lab.shell import LabError

CONTROLLERS_V2 = ("cpuset", "cpu", "io", "memory", "pids", "hugetlb")


def hierarchies() -> list[tuple[Path, bool]]:
    """Mount points of this machine's cgroup hierarchies; True marks a version 2 one."""
    found: dict[str, tuple[Path, bool]] = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()[0]
        # A hierarchy can be mounted twice (cpu and cpuacct share one); its device number tells.
        if kind in ("cgroup", "cgroup2") and fields[2] not in found:
            found[fields[2]] = (Path(fields[4]), kind == "cgroup2")
    return list(found.values())


def create(name: str) -> list[Path]:
    """Makes the group `name` in every hierarchy, enters it, and returns the groups for the host to enter.

    In version 2 a group with members cannot hand controllers to children, so the launcher and the
    host get one below it each.
    """
    groups = []
    launcher = []
    for mount, unified in hierarchies():
        if unified:
            group = mount / name
            group.mkdir(exist_ok=True)
            _enable_controllers(mount)
            _enable_controllers(group)
            for child in ("launcher", "host"):
                (group / child).mkdir(exist_ok=True)
            launcher.append(group / "launcher")
            groups.append(group / "host")
        else:
            launcher.append(_version_1(mount, name))
            groups.append(launcher[-1])
    enter(launcher)
    return groups


def delegated(name: str) -> list[Path]:
    """The groups for a host inside the unit that systemd delegated to this process.

    A unit owns only its group in version 2 and in systemd's own hierarchy. On a hybrid machine the host gets
    the group `name` in each other hierarchy of version 1, or its containers would use that hierarchy's root.
    """
    own = own_groups()
    groups = []
    for mount, unified in hierarchies():
        if unified:
            unit = mount / own[""].lstrip("/")
            launcher, host = unit / "launcher", unit / "host"
            launcher.mkdir(exist_ok=True)
            host.mkdir(exist_ok=True)
            enter([launcher])
            _enable_controllers(unit)
            groups.append(host)
        elif mount.name != "systemd":
            group = _version_1(mount, name)
            enter([group])
            groups.append(group)
    return groups


def _version_1(mount: Path, name: str) -> Path:
    """Makes the group `name` in a hierarchy of version 1; a new cpuset is useless until it is filled."""
    group = mount / name
    group.mkdir(exist_ok=True)
    if (mount / "cpuset.cpus").exists():
        for setting in ("cpuset.cpus", "cpuset.mems"):
            (group / setting).write_text((mount / setting).read_text(encoding="utf-8"), encoding="utf-8")
    return group


def enter(groups: list[Path]) -> None:
    """Moves this process into `groups`."""
    for group in groups:
        (group / "cgroup.procs").write_text(str(os.getpid()), encoding="utf-8")


def own_groups(pid: str = "self") -> dict[str, str]:
    """The groups of a process: controllers as /proc writes them ('' for version 2) -> path."""
    groups = {}
    for line in (Path("/proc") / pid / "cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        groups[controllers] = path
    return groups


def find(prefix: str) -> set[str]:
    """Names of groups at the root of any hierarchy that start with `prefix`."""
    return {group.name for mount, _ in hierarchies() for group in mount.glob(f"{prefix}*") if group.is_dir()}


def members(name: str) -> set[int]:
    """Every process in the group `name` or below it, in any hierarchy."""
    pids: set[int] = set()
    for group in _subtree(name):
        with contextlib.suppress(OSError):
            pids.update(int(pid) for pid in (group / "cgroup.procs").read_text(encoding="utf-8").split())
    return pids


def destroy(name: str, *, seconds: float = 10) -> bool:
    """Kills every process of the group `name` and removes it; whether there was one.

    Raises:
        LabError: processes or groups are still there after `seconds`.
    """
    existed = any(True for _ in _subtree(name))
    deadline = time.monotonic() + seconds
    while True:
        groups = list(_subtree(name))
        if not groups:
            return existed
        for group in groups:
            # A frozen process cannot die.
            with contextlib.suppress(OSError):
                if (group / "freezer.state").exists():
                    (group / "freezer.state").write_text("THAWED", encoding="utf-8")
        for pid in members(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for group in groups:
            with contextlib.suppress(OSError):
                group.rmdir()
        if time.monotonic() > deadline:
            raise LabError(
                f"the cgroup {groups[-1]} does not go away; processes in it: {sorted(members(name))}"
            )
        time.sleep(0.02)


def _subtree(name: str) -> Iterator[Path]:
    """The group `name` in each hierarchy and all below it, deepest first."""
    for mount, _ in hierarchies():
        if (mount / name).is_dir():
            for folder, _, _ in os.walk(mount / name, topdown=False):
                yield Path(folder)


def _enable_controllers(group: Path) -> None:
    """Hands every controller that `group` has to its children; one that cannot be is left out."""
    have = (group / "cgroup.controllers").read_text(encoding="utf-8").split()
    for controller in CONTROLLERS_V2:
        if controller in have:
            with contextlib.suppress(OSError):
                (group / "cgroup.subtree_control").write_text(f"+{controller}", encoding="utf-8")
