"""What stands on a machine that a lab could leave behind, to be compared before and after.

Not only what carries the lab's mark: a leak would be just what nobody gave the mark. What belongs to
another lab on this machine is left out: it carries that lab's mark, or names that lab's folder. So other
labs may come and go meanwhile.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from nspawn_lab.definition import Lab

Footprint = dict[str, set[str]]
"""Kind of thing -> what there is of it; a kind that cannot be told now is missing."""
FOLDER = re.compile(r"^ssh: (\S+)/cp/\S+ \[mux\]|nspawn_lab --state (\S+)|--directory=(\S+)/hosts/[^/]+/root")
"""Where a lab's processes on the machine name its folder: ssh to a host, its program, systemd-nspawn."""


def take(lab: Lab) -> Footprint:
    """Look at the machine, seen from a lab."""
    foreign = re.compile(rf"edgelab-(?!{lab.mark.removeprefix('edgelab-')})[0-9a-f]{{4}}")
    everything: Footprint = {
        "links": {link["ifname"] for link in ip("link")},
        "addresses": {f"{link['ifname']} {a['local']}" for link in ip("address") for a in link["addr_info"]},
        "routes": {f"{r['dst']} {r.get('dev')}" for r in ip("route", "show", "table", "all")},
        "tables": set(run("nft", "list", "tables").splitlines()),
        **forwarding(lab.mark),
        "mounts": {line.split()[4] for line in lines("/proc/self/mountinfo")},
        "cgroups": {folder for folder, _, _ in os.walk("/sys/fs/cgroup")},
        "names": set(names("/run", "/run/netns", "/run/mount", "/etc", "/var/lib"))
        # A module of Ansible's has its folder there while it runs.
        | {name for name in names("/tmp") if "edgelab" in name and "/ansible_" not in name},
        "processes": set(processes(foreign, lab.state)),
    }
    return {kind: {t for t in things if not foreign.search(t)} for kind, things in everything.items()}


def added(before: Footprint, after: Footprint) -> Footprint:
    """What is there now and was not there before, by kind; empty when nothing is."""
    both = before.keys() & after.keys()
    return {kind: after[kind] - before[kind] for kind in sorted(both) if after[kind] - before[kind]}


def is_settled() -> bool:
    """Whether no address is tentative: its route comes a moment later, as on a host that has just booted."""
    found = [entry for link in ip("-6", "address") for entry in link.get("addr_info", [])]
    return not any(entry.get("tentative") for entry in found)


def processes(foreign: re.Pattern[str], state: Path) -> list[str]:
    """Processes that belong to a lab: its program, ssh to a host, anything that has another PID 1."""
    own = os.readlink("/proc/self/ns/pid")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
            elsewhere = os.readlink(folder / "ns" / "pid") != own
            theirs = foreign.search((folder / "cgroup").read_text(encoding="utf-8"))
        except OSError:
            continue
        # Without words it is dead already and waits for the machine's PID 1 to notice.
        if (
            words
            and not theirs
            and folder_of(words) in (None, state)
            and (elsewhere or "nspawn" in words or words.startswith("ssh: "))
        ):
            found.append(f"{folder.name} {words}")
    return found


def folder_of(words: str) -> Path | None:
    """The folder of the lab that a process's command line names; None when it names none."""
    found = FOLDER.search(words)
    return Path(next(filter(None, found.groups()))) if found else None


def forwarding(mark: str) -> Footprint:
    """Forwarding per interface; not told while another lab keeps it switched on."""
    bridges = {name for name in os.listdir("/sys/class/net") if re.fullmatch(r"edgelab-[0-9a-f]{4}", name)}
    if bridges - {mark}:
        return {}
    conf = Path("/proc/sys/net/ipv4/conf")
    return {"forwarding": {f"{path.parent.name}={lines(path)[0]}" for path in conf.glob("*/forwarding")}}


def ip(*what: str) -> list[dict[str, Any]]:
    """`ip -json`, without empty entries."""
    entries: list[dict[str, Any]] = json.loads(run("ip", "-json", *what) or "[]")
    return [entry for entry in entries if entry]


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def lines(path: str | Path) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def names(*folders: str) -> list[str]:
    return [f"{folder}/{name}" for folder in folders if Path(folder).is_dir() for name in os.listdir(folder)]
