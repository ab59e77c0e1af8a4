"""What people and roles do with a lab: bring it up, take it down, cut the power, pull a plug."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from nspawn_lab import cgroups, emulation, network, seed
from nspawn_lab.definition import Host, Lab
from nspawn_lab.locks import exclusive
from nspawn_lab.shell import LabError, run, say, succeeds
from nspawn_lab.supervisor import SYSTEMD

BOOT_SECONDS = 60
EMULATED_BOOT_SECONDS = 240


@contextlib.contextmanager
def locked(lab: Lab) -> Iterator[None]:
    """Only one command at a time changes a lab; the next one waits."""
    # Beside the state folder's content, not in it: `down` removes the folder while it holds the lock.
    lab.state.mkdir(parents=True, exist_ok=True)
    with exclusive(lab.state):
        yield


def up(lab: Lab, names: list[str], rootfs: dict[str, Path]) -> bool:
    """Boots what is not running of the lab's hosts and waits until they answer; whether anything changed.

    `rootfs` is each host's root file system, by its name.

    Raises:
        LabError: a host does not answer in time; the message carries the end of its console.
    """
    subnet, known = lab.load()
    if subnet is None:
        reclaim(lab)
        subnet = network.choose_subnet(lab)
    hosts = lab.plan(subnet, names, known, rootfs)
    seed.make_keys(lab, list(hosts.values()))
    lab.save(subnet, hosts)
    hand_over(lab)
    changed = network.bring_up(lab, subnet)
    if changed:  # cables of running hosts ended in the bridge that is gone
        for host in hosts.values():
            power_off(lab, host)
    started = [host for host in hosts.values() if start(lab, host)]
    for host in hosts.values():
        wait_for_ssh(lab, host)
    return changed or bool(started)


def down(lab: Lab) -> bool:
    """Removes the lab: hosts, disks, bridge, rules, cgroups, state folder; whether there was anything."""
    existed = reclaim(lab)
    hang_up(lab)
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        mounted = Path(line.split()[4])
        if mounted.is_relative_to(lab.state):
            run(["umount", str(mounted)])
    existed = existed or any(lab.state.iterdir())
    shutil.rmtree(lab.state)
    return existed


def reclaim(lab: Lab) -> bool:
    """Stops and removes whatever runs under this lab's mark, recorded or not; whether there was anything."""
    _, hosts = lab.load()
    found = False
    names = {
        *hosts,
        *launchers(lab),
        *(group.removeprefix(f"{lab.mark}-") for group in cgroups.find(f"{lab.mark}-")),
    }
    for name in sorted(names):
        found = power_off(lab, lab.host(name, "0.0.0.10", Path())) or found
    return network.bring_down(lab) or found


def lacks_any(lab: Lab, names: list[str], rootfs: dict[str, Path]) -> bool:
    """Whether `up` would boot a host or make the bridge anew.

    Raises:
        LabError: a name is no host name.
    """
    subnet, known = lab.load()
    wanted = lab.plan(subnet or "10.128.0.0/24", names, known, rootfs)
    return subnet is None or not network.is_up(lab) or not wanted.keys() <= launchers(lab).keys()


def is_there(lab: Lab) -> bool:
    """Whether `down` would find anything to remove."""
    folder = lab.state.is_dir() and any(lab.state.iterdir())
    running = launchers(lab) or cgroups.find(f"{lab.mark}-")
    return folder or bool(running) or network.is_up(lab)


def hand_over(lab: Lab) -> None:
    """Gives what a person needs to reach the hosts to whoever called sudo; the disks stay root's."""
    user, group = int(os.environ.get("SUDO_UID", "0")), int(os.environ.get("SUDO_GID", "0"))
    folders = [lab.key.parent, lab.control_path("x").parent]
    for path in [lab.state, lab.record, *folders, *(file for folder in folders for file in folder.iterdir())]:
        os.chown(path, user, group)


def hang_up(lab: Lab) -> None:
    """Ends the connections that ssh keeps open to this lab's hosts, and removes their sockets."""
    folder = lab.control_path("x").parent
    for pid, words in _processes():
        if words[0].startswith(f"ssh: {folder}/") and words[0].endswith("[mux]"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    shutil.rmtree(folder, ignore_errors=True)


def start(lab: Lab, host: Host) -> bool:
    """Powers a host on; False when it is running already."""
    if host.name in launchers(lab):
        return False
    power_off(lab, host)
    if not host.rootfs.is_dir():
        raise LabError(
            f"the root file system {host.rootfs} of {host.name} is gone; `make down && make up` builds it"
        )
    host.folder.mkdir(parents=True, exist_ok=True)
    say(f"booting {host.name} at {host.address}")
    command = [sys.executable, "-m", "nspawn_lab", "--state", str(lab.state), "supervise", host.name]
    package = str(Path(__file__).resolve().parents[1])
    console = host.folder / "console.log"
    if SYSTEMD.is_dir():
        unit = [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={lab.mark}-{host.name}",
            "--property=Delegate=yes",
        ]
        unit += ["--property=TasksMax=infinity", "--property=KillMode=control-group", "--property=Type=exec"]
        unit += [f"--property=StandardOutput=append:{console}", f"--property=StandardError=append:{console}"]
        unit += [f"--setenv={name}" for name in os.environ if name.startswith("SYSTEMD_NSPAWN_")]
        run([*unit, f"--setenv=PYTHONPATH={package}", "--setenv=PYTHONDONTWRITEBYTECODE=1", *command])
        return True
    with console.open("ab") as log:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1"},
        )
    return True


def stop(lab: Lab, host: Host, *, seconds: float = 30) -> bool:
    """Shuts a host down in an orderly way, then takes its power; False when it was off."""
    pid = launchers(lab).get(host.name)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    power_off(lab, host)
    return pid is not None


def power_off(lab: Lab, host: Host) -> bool:
    """Takes a host's power at once; its disk stays. False when nothing of it ran."""
    pid = launchers(lab).get(host.name)
    unit = f"{lab.mark}-{host.name}.service"
    if SYSTEMD.is_dir():
        # Also a unit that is on its way out: a new one of its name cannot start before it is gone.
        succeeds(["systemctl", "kill", "--signal=SIGKILL", unit])
        succeeds(["systemctl", "stop", unit])
        succeeds(["systemctl", "reset-failed", unit])
    elif pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    existed = cgroups.destroy(f"{lab.mark}-{host.name}") or pid is not None
    if host.address != "0.0.0.10":
        succeeds(["ip", "link", "delete", host.link])
    return existed


def launchers(lab: Lab) -> dict[str, int]:
    """The launchers of this lab that are alive: host name -> process id.

    Read from /proc, not from a file: a file may be missing or may name a process that is another one now.
    """
    found: dict[str, int] = {}
    for pid, words in _processes():
        if words[1:6] == ["-m", "nspawn_lab", "--state", str(lab.state), "supervise"] and pid != os.getpid():
            found[words[6]] = min(pid, found.get(words[6], pid))
    return found


def leader(lab: Lab, host: Host) -> int:
    """The process of this machine that is PID 1 inside the host.

    Raises:
        LabError: the host is not running.
    """
    pid = launchers(lab).get(host.name)
    for _ in range(2):  # the launcher's child is systemd-nspawn, and its child is the host's init
        children = Path(f"/proc/{pid}/task/{pid}/children") if pid else None
        words = children.read_text(encoding="utf-8").split() if children and children.exists() else []
        pid = int(words[0]) if words else None
    if pid is None:
        raise LabError(f"{host.name} is not running (`scripts/lab start {host.name}` or `make up`)")
    return pid


def enter(lab: Lab, host: Host, command: list[str]) -> int:
    """Runs `command` inside the host, also with its plug pulled; its exit status."""
    # The caller's capabilities come along, and the clock is the machine's: nothing in a host may set it.
    namespaces = [
        "setpriv",
        "--bounding-set=-sys_time",
        "--inh-caps=-sys_time",
        "nsenter",
        f"--target={leader(lab, host)}",
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--cgroup",
    ]
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return subprocess.run(
        [*namespaces, "env", "-i", "-C", "/root", path, "HOME=/root", *command], check=False
    ).returncode


def boot_seconds(host: Host) -> float:
    """How long a host may take from power on to its first greeting."""
    foreign = emulation.is_foreign(emulation.architecture_of(host.rootfs))
    return EMULATED_BOOT_SECONDS if foreign else BOOT_SECONDS


def wait_for_ssh(lab: Lab, host: Host) -> None:
    """Waits until the host greets on port 22."""
    seconds = boot_seconds(host)
    deadline = time.monotonic() + seconds
    while not answers(host):
        gone = host.name not in launchers(lab)
        if gone or time.monotonic() > deadline:
            reason = "its launcher ended" if gone else f"it did not answer within {seconds:.0f} s"
            console = host.folder / "console.log"
            tail = console.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
            raise LabError(
                f"{host.name} did not come up: {reason}; end of {console}:\n  " + "\n  ".join(tail)
            )
        time.sleep(0.05)


def answers(host: Host) -> bool:
    """Whether the host's SSH server greets."""
    try:
        with socket.create_connection((host.address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Every living process of this machine: its id and the words of its command line."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        except OSError:
            continue
        if words[0] and not _is_zombie(folder):
            yield int(folder.name), words


def _is_zombie(folder: Path) -> bool:
    try:
        return (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
