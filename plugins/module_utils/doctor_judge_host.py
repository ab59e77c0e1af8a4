"""Checks of a host itself, over what doctor_gather_host read."""

from __future__ import annotations

import re

from ansible_collections.edgelab.kubeedge.plugins.module_utils.doctor_core import (
    FAILED,
    WARNING,
    bad,
    good,
    judges,
    warn,
)

OLDEST_PYTHON = (3, 11)
FAMILIES = ("debian", "ubuntu", "raspbian")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
MIB = 1024 * 1024
SECONDS_TO_NOTICE = 5


@judges("HOST-PYTHON")
def python(facts, wanted):
    """Python's version."""
    version = facts.need("system")["python"]
    text = "Python {}.{}.{}".format(*version)
    if tuple(version[:2]) >= OLDEST_PYTHON:
        return good(text)
    return bad(
        "{} on {}; the runtime needs {}.{}".format(text, facts["system"]["distribution"], *OLDEST_PYTHON),
        "install Debian 12, Raspberry Pi OS 12, Ubuntu 24.04 or later on this host",
    )


@judges("HOST-DISTRIBUTION")
def distribution(facts, wanted):
    """Distribution and init system."""
    system = facts.need("system")
    if not set(system["family"]) & set(FAMILIES):
        return bad(
            "{} is not supported".format(system["distribution"]), "use Debian, Raspberry Pi OS or Ubuntu"
        )
    if not system["systemd"]:
        return bad("systemd is not the init system, so no service can run", "boot the host with systemd")
    board = ", {}".format(system["board"]) if system["board"] else ""
    return good("{}{}".format(system["distribution"], board))


@judges("HOST-NAME")
def name(facts, wanted):
    """Host name, and the node's."""
    host = facts.need("system")["hostname"]
    short = host.split(".")[0]
    if not LABEL.fullmatch(short.lower()):
        fix = "hostnamectl set-hostname NAME, with a-z, 0-9 and '-' only, 63 characters at most"
        return bad(f"the host name {host!r} is no DNS label", fix)
    node = wanted.get("node_name") or ""
    if node and not all(LABEL.fullmatch(part) for part in node.split(".")):
        fix = "set edgecore_node_name to a name of a-z, 0-9 and '-'"
        return bad(f"the node name {node!r} is no DNS name", fix)
    return good(f"host {host}" + (f", node {node}" if node else ""))


@judges("HOST-MEMORY")
def memory(facts, wanted):
    """Memory that is available."""
    found = facts.need("memory")
    text = "{} of {} MiB available".format(found["available"] // MIB, found["total"] // MIB)
    fix = "see what uses it (`ps --sort=-rss -eo rss,comm | head`), move pods away, or use a larger board"
    if found["available"] < 48 * MIB:
        return bad(text, fix)
    if found["available"] < 128 * MIB or found["total"] < 400 * MIB:
        return warn(text, fix)
    return good(text)


@judges("HOST-SWAP")
def swap(facts, wanted):
    """Swap: a kubelet refuses to start with it; one that is full means that memory is short."""
    found = facts.need("memory")
    if not found["swap"]:
        return good("no swap")
    text = "{} of {} MiB swap free".format(found["swap_free"] // MIB, found["swap"] // MIB)
    if facts.need("system")["kubelet"]:
        return bad(
            f"{text}, and a kubelet runs here, which refuses swap",
            "set host_swap: 'off' and run site.yml --tags host",
        )
    if found["swap_free"] < found["swap"] // 10:
        return warn(text, "the host is short of memory: move pods away, or use a larger board")
    return good(text)


def _room(free, size, least):
    """How bad it is: None, WARNING or FAILED."""
    if not size:
        return None  # file systems such as btrfs count no inodes
    if free < size * 0.02 or free < least:
        return FAILED
    return WARNING if free < size * 0.10 else None


@judges("HOST-DISK")
def disk(facts, wanted):
    """Free space."""
    found = []
    for entry in facts.need("disks"):
        text = "{} of {} MiB free".format(entry["free"] // MIB, entry["size"] // MIB)
        status = _room(entry["free"], entry["size"], 0)
        fix = (
            "make room below {}: `ctr -n k8s.io images prune --all`, `journalctl --vacuum-size=50M`, "
            "`apt-get clean`"
        ).format(entry["path"])
        found.append(bad(text, fix, entry["path"], status) if status else good(text, entry["path"]))
    return found


@judges("HOST-INODES")
def inodes(facts, wanted):
    """Free inodes."""
    found = []
    for entry in facts.need("disks"):
        text = "{} of {} inodes free".format(entry["inodes_free"], entry["inodes"])
        status = _room(entry["inodes_free"], entry["inodes"], 0)
        fix = "find directories with many small files: `du --inodes -x -d3 {} | sort -n | tail`".format(
            entry["path"]
        )
        found.append(bad(text, fix, entry["path"], status) if status else good(text, entry["path"]))
    return found


@judges("HOST-READ-ONLY")
def read_only(facts, wanted):
    """File systems that refuse to be written."""
    worn = [entry["path"] for entry in facts.need("disks") if entry["read_only"]]
    if not worn:
        return good("all file systems can be written")
    fix = "`dmesg | grep -i 'remount\\|mmc\\|ext4'`; replace the card or disk; `mount -o remount,rw PATH`"
    return [bad("the file system is read-only", fix, path) for path in worn]


@judges("HOST-CLOCK")
def clock(facts, wanted):
    """The clock against the controller's."""
    if not wanted.get("controller_time"):
        return None
    skew = facts.need("clock")["now"] - wanted["controller_time"]
    text = f"{skew:+.0f} s against the controller"
    fix = "timedatectl set-ntp true (or `date --set`); tokens and certificates are refused by a wrong clock"
    if abs(skew) > wanted["clock_tolerance"]:
        return bad(text, fix)
    return (
        warn(text, fix) if abs(skew) > max(SECONDS_TO_NOTICE, wanted["clock_tolerance"] / 2) else good(text)
    )


@judges("HOST-TIME-SYNC")
def time_sync(facts, wanted):
    """Something that keeps the clock right; a container has its machine's clock."""
    keepers = facts.need("clock")["keepers"]
    if keepers:
        return good("{} runs".format(", ".join(keepers)))
    if facts.need("system")["container"]:
        return good("a container: its machine keeps the clock")
    return warn("nothing keeps the clock right", "set host_time_sync: true and run site.yml --tags host")


@judges("HOST-NAMES")
def names(facts, wanted):
    """Names of the cluster's hosts."""
    found = facts.need("names")
    wrong = [
        bad(
            "leads to {}, expected {}".format(", ".join(found[host]) or "nothing", address),
            f"run site.yml --tags host, or write `{address} {host}` into /etc/hosts",
            host,
        )
        for host, address in wanted["names"].items()
        if address not in found.get(host, [])
    ]
    return wrong or good("{} names lead to their addresses".format(len(found)))
