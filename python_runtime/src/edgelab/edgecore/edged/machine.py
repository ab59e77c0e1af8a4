"""Facts of the node that are read from the machine itself (cAdvisor's `MachineInfo`, in a few files)."""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelab.objects import quantity

Obj = dict[str, Any]

ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "i686": "386",
    "riscv64": "riscv64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """Sizes in bytes."""

    cpus: int
    memory: int
    disk: int


def architecture() -> str:
    """This machine's architecture as Go names it."""
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def measure(root: Path) -> Machine:
    """CPUs, memory and the size of the file system that holds `root`."""
    disk = filesystem(root)
    return Machine(os.cpu_count() or 1, memory()[1], disk.f_blocks * disk.f_frsize)


def filesystem(root: Path) -> os.statvfs_result:
    """The file system that holds `root`, or will."""
    return os.statvfs(existing(root))


def existing(root: Path) -> Path:
    """The nearest directory above a path that there is."""
    while not root.exists():
        root = root.parent
    return root


def memory() -> tuple[int, int]:
    """Bytes that are available for new programs, and all."""
    found = _meminfo()
    return found.get("MemAvailable", 0), found.get("MemTotal", 0)


def usage(root: Path) -> dict[str, tuple[float, float]]:
    """Available and total of what eviction thresholds are about, named as the kubelet's signals."""
    disk = filesystem(root)
    available, total = memory()
    found = {
        "memory.available": (float(available), float(total)),
        "nodefs.available": (float(disk.f_bavail * disk.f_frsize), float(disk.f_blocks * disk.f_frsize)),
        "nodefs.inodesFree": (float(disk.f_favail), float(disk.f_files)),
    }
    pids = _number("/proc/sys/kernel/pid_max")
    threads = _threads()
    if pids and threads is not None:
        found["pid.available"] = (float(pids - threads), float(pids))
    return found


def below(signal: tuple[float, float], threshold: str) -> bool:
    """Whether an availability is under `100Mi` or `10%`; a total of zero is never."""
    available, total = signal
    if total <= 0:
        return False
    if threshold.endswith("%"):
        return available / total * 100 < float(threshold[:-1])
    return available < float(quantity.parse(threshold))


def node_info(kubelet_version: str, runtime: str) -> Obj:
    """`status.nodeInfo`."""
    release = _os_release()
    return {
        "machineID": _text("/etc/machine-id"),
        "systemUUID": _text("/sys/class/dmi/id/product_uuid") or _text("/etc/machine-id"),
        "bootID": _text("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": platform.release(),
        "osImage": release.get("PRETTY_NAME", "Linux"),
        "containerRuntimeVersion": runtime,
        "kubeletVersion": kubelet_version,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": architecture(),
    }


def address_of(interface: str) -> str:
    """The first IPv4 address of a network interface; empty when it has none."""
    import fcntl  # noqa: PLC0415 - only when customInterfaceName is set

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock.fileno(), 0x8915, interface.encode()[:15].ljust(256, b"\0"))
        except OSError:
            return ""
    return socket.inet_ntoa(answer[20:24])


def default_address() -> str:
    """The address from which this machine would reach the Internet; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
            return str(sock.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _meminfo() -> dict[str, int]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}


def _threads() -> int | None:
    words = _text("/proc/loadavg").split()
    return int(words[3].split("/")[1]) if len(words) > 3 else None


def _number(path: str) -> int:
    text = _text(path)
    return int(text) if text.isdigit() else 0


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_release() -> dict[str, str]:
    pairs = (line.partition("=") for line in _text("/etc/os-release").splitlines())
    return {key: value.strip('"') for key, _, value in pairs}
