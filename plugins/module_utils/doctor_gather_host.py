"""What the doctor reads of a host itself: system, memory, disks, clock, kernel. Nothing is written."""

from __future__ import annotations

import os
import socket
import sys
import time

SYNC_DAEMONS = ("systemd-timesyn", "systemd-timesyncd", "chronyd", "ntpd", "ntpsec", "openntpd")


def text_of(path, default=""):
    """A small text file; `default` when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return default


def commands():
    """Names of all processes, by process id."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            name = text_of(f"/proc/{entry}/comm").strip()
            if name:
                found[int(entry)] = name
    return found


def system(processes):
    """Python, distribution, names, and whether this is a container of its own."""
    release = dict(
        line.partition("=")[::2] for line in text_of("/etc/os-release").splitlines() if "=" in line
    )
    clean = {key: value.strip("\"'") for key, value in release.items()}
    return {
        "python": list(sys.version_info[:3]),
        "distribution": clean.get("PRETTY_NAME", "an unknown distribution"),
        "family": [clean.get("ID", ""), *clean.get("ID_LIKE", "").split()],
        "systemd": os.path.isdir("/run/systemd/system"),
        "hostname": socket.gethostname(),
        "board": text_of("/proc/device-tree/model").strip("\0\n"),
        "container": os.path.exists("/run/systemd/container") or os.path.exists("/.dockerenv"),
        "kubelet": "kubelet" in processes.values(),
    }


def memory():
    """Bytes of memory and swap, in total and free."""
    lines = dict(line.partition(":")[::2] for line in text_of("/proc/meminfo").splitlines())
    names = {"total": "MemTotal", "available": "MemAvailable", "swap": "SwapTotal", "swap_free": "SwapFree"}
    return {key: int(lines.get(name, "0").split()[0]) * 1024 for key, name in names.items()}


def disks(paths):
    """Space and inodes of the file systems below `paths`; a path that is not there counts by its parent."""
    seen, found = set(), []
    for wanted in paths:
        path = wanted
        while not os.path.isdir(path):
            path = os.path.dirname(path) or "/"
        device = os.stat(path).st_dev
        if device in seen:
            continue
        seen.add(device)
        stat = os.statvfs(path)
        found.append(
            {
                "path": wanted,
                "size": stat.f_blocks * stat.f_frsize,
                "free": stat.f_bavail * stat.f_frsize,
                "inodes": stat.f_files,
                "inodes_free": stat.f_favail,
                "read_only": bool(stat.f_flag & os.ST_RDONLY),
            }
        )
    return found


def clock(processes):
    """Seconds since the epoch, and what keeps the clock right."""
    keepers = sorted({name for name in processes.values() if name in SYNC_DAEMONS})
    return {"now": time.time(), "keepers": keepers}


def cgroup():
    """Version and controllers of the control groups."""
    unified = text_of("/sys/fs/cgroup/cgroup.controllers", None)
    if unified is not None:
        return {"version": 2, "memory": "memory" in unified.split(), "driver": "systemd"}
    rows = [line.split() for line in text_of("/proc/cgroups").splitlines() if not line.startswith("#")]
    enabled = any(row[0] == "memory" and row[3] == "1" for row in rows if len(row) == 4)
    mounted = os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes")
    return {"version": 1, "memory": enabled and mounted, "driver": "cgroupfs"}


def kernel():
    """What pods need of the kernel; None for a switch that the kernel does not have."""
    return {
        "overlay": "overlay" in text_of("/proc/filesystems").split(),
        "ip_forward": text_of("/proc/sys/net/ipv4/ip_forward", "").strip() or None,
        "bridge_netfilter": text_of("/proc/sys/net/bridge/bridge-nf-call-iptables", "").strip() or None,
    }


def names(wanted):
    """Addresses to which names lead on this host."""
    found = {}
    for name in wanted:
        try:
            found[name] = sorted({entry[4][0] for entry in socket.getaddrinfo(name, None)})
        except OSError:
            found[name] = []
    return found
