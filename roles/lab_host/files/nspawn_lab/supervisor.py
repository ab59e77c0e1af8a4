"""The launcher of one host: it stays as long as the host runs, and nothing of the host outlives it.

The overlay is mounted in a mount namespace of the launcher's own and the host's network namespace
belongs to the host's first process, so a killed launcher leaves neither a mount nor a namespace behind:
only the machine's end of the cable, cgroups and files, which all carry the lab's name.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

from nspawn_lab import cgroups, emulation, network, seed
from nspawn_lab.definition import Host, Lab, gateway
from nspawn_lab.shell import LabError, run, say

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
REBOOT = 133
"""systemd-nspawn's exit status when the host asked for a reboot."""
SYSTEMD = Path("/run/systemd/system")
"""There when systemd is PID 1 of this machine (sd_booted(3))."""

_libc = ctypes.CDLL(None, use_errno=True)


def supervise(lab: Lab, name: str) -> int:
    """Boots host `name` again and again as long as it asks for that; returns when it was powered off."""
    subnet, hosts = lab.load()
    if subnet is None or name not in hosts:
        raise LabError(f"the lab in {lab.state} has no host {name}")
    host = hosts[name]
    group = f"{lab.mark}-{name}"
    groups = cgroups.delegated(group) if SYSTEMD.is_dir() else cgroups.create(group)
    _unshare(CLONE_NEWNS)
    run(["mount", "--make-rprivate", "/"])
    # mount and systemd-nspawn keep notes below /run, and this machine's is no place to leave any.
    run(["mount", "--no-mtab", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"])
    Path("/run/systemd/nspawn").mkdir(parents=True)
    emulation.enable(host.rootfs)
    root = _mount_disk(host)
    seeded = host.folder / "seeded"
    if not seeded.exists():
        seed.prepare(root, lab, host)
        seeded.touch()
    while True:
        status = _boot(lab, host, root, subnet, groups)
        say(f"{name} ended with status {status}")
        if status != REBOOT:
            return status


def _mount_disk(host: Host) -> Path:
    """Mounts the host's overlay. Containers use overlays too, so they get a folder of a real file system."""
    upper, work, root = (host.folder / part for part in ("upper", "work", "root"))
    for folder in (upper, work, root, host.folder / "containerd"):
        folder.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={host.rootfs},upperdir={upper},workdir={work}"
    try:
        run(["mount", "-t", "overlay", "overlay", "-o", options, str(root)])
    except LabError as error:
        raise LabError(
            f"{error}; the checkout must lie on a file system that overlays work on, such as ext4"
        ) from None
    (root / "var/lib/containerd").mkdir(mode=0o711, parents=True, exist_ok=True)
    return root


def _boot(lab: Lab, host: Host, root: Path, subnet: str, groups: list[Path]) -> int:
    """One life of the host: from power on to power off. Returns the status of systemd-nspawn."""
    isolated, ready = os.pipe()
    go, plugged = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(isolated)
            os.close(plugged)
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            _unshare(CLONE_NEWNET)
            os.write(ready, b".")
            if os.read(go, 1):
                _become_host(host, root, subnet, groups)
        except (LabError, OSError) as error:
            say(f"{host.name}: {error}")
        finally:
            os._exit(1)
    os.close(ready)
    os.close(go)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
    try:
        if os.read(isolated, 1):
            network.plug_in(lab, host, pid)
            os.write(plugged, b".")
    finally:
        os.close(plugged)
        os.close(isolated)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _become_host(host: Host, root: Path, subnet: str, groups: list[Path]) -> None:
    """Sets up the address and turns this process into systemd-nspawn."""
    run(["ip", "link", "set", "lo", "up"])
    run(["ip", "address", "add", f"{host.address}/24", "dev", "eth0"])
    run(["ip", "link", "set", "eth0", "up"])
    run(["ip", "route", "add", "default", "via", gateway(subnet)])
    cgroups.enter(groups)
    command = ["systemd-nspawn", "--quiet", "--boot", f"--directory={root}", f"--machine={host.name}"]
    command += ["--register=no", "--keep-unit", "--settings=no", "--link-journal=no", "--console=read-only"]
    command += ["--resolv-conf=off", "--timezone=off", f"--network-namespace-path=/proc/{os.getpid()}/ns/net"]
    # The clock is the machine's: no host may set it.
    command += ["--capability=all", "--drop-capability=CAP_SYS_TIME"]
    command.append(f"--bind={host.folder / 'containerd'}:/var/lib/containerd")
    environment = {
        **os.environ,
        "SYSTEMD_SECCOMP": "0",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
    }
    sys.stdout.flush()
    os.execvpe(command[0], command, environment)


def _unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise LabError(f"cannot make a namespace of its own ({os.strerror(number)}): run this as root")
