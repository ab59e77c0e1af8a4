"""What stands on a machine that a lab could leave behind, to be compared before and after.

Not only what carries the lab's mark: a leak would be just what nobody gave the mark. What carries the
mark of another lab on this machine is left out.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

Footprint = dict[str, set[str]]
"""Kind of thing -> what there is of it."""


def take(mark: str) -> Footprint:
    """Look at the machine, seen from the lab with `mark`."""
    foreign = re.compile(rf"edgelab-(?!{mark.removeprefix('edgelab-')})[0-9a-f]{{4}}")
    everything: Footprint = {
        "links": {link["ifname"] for link in ip("link")},
        "addresses": {f"{link['ifname']} {a['local']}" for link in ip("address") for a in link["addr_info"]},
        "routes": {f"{r['dst']} {r.get('dev')}" for r in ip("route", "show", "table", "all")},
        "tables": set(run("nft", "list", "tables").splitlines()),
        "forwarding": set(forwarding()),
        "mounts": {line.split()[4] for line in lines("/proc/self/mountinfo")},
        "cgroups": {folder for folder, _, _ in os.walk("/sys/fs/cgroup")},
        "names": set(names("/run", "/run/netns", "/run/mount", "/etc", "/var/lib"))
        | {name for name in names("/tmp") if "edgelab" in name},
        "processes": set(processes(foreign)),
    }
    return {kind: {t for t in things if not foreign.search(t)} for kind, things in everything.items()}


def added(before: Footprint, after: Footprint) -> Footprint:
    """What is there now and was not there before, by kind; empty when nothing is."""
    return {kind: things - before[kind] for kind, things in after.items() if things - before[kind]}


def processes(foreign: re.Pattern[str]) -> list[str]:
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
        if words and not theirs and (elsewhere or "nspawn" in words or words.startswith("ssh: ")):
            found.append(f"{folder.name} {words}")
    return found


def forwarding() -> list[str]:
    """Forwarding per interface; not told while another lab keeps it switched on."""
    conf = Path("/proc/sys/net/ipv4/conf")
    if len([name for name in names("/sys/class/net") if re.fullmatch(r"edgelab-[0-9a-f]{4}", name)]) > 1:
        return []
    return [f"{path.parent.name}={lines(path)[0]}" for path in conf.glob("*/forwarding")]


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
