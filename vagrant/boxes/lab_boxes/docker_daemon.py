"""A Docker daemon of a lab's own, for machines on which none runs: bridge, disk and socket are the lab's.

The lab's bridge (nspawn_lab.network) translates addresses, so this daemon writes no rule of the machine's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from nspawn_lab import control, network
from nspawn_lab.definition import Lab
from nspawn_lab.shell import LabError, run, succeeds

START_SECONDS = 60
STOP_SECONDS = 30


class Daemon:
    """The daemon of one lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.folder = lab.state / "docker"
        # The path of a socket has at most 107 characters, and containerd's lies deep below this one.
        self.run_folder = Path("/run") / f"{lab.mark}-docker"
        self.host = f"unix://{self.run_folder}/docker.sock"
        self.pid_file = self.run_folder / "dockerd.pid"
        self.log = self.folder / "dockerd.log"
        self.process: subprocess.Popen[bytes] | None = None
        """The daemon when it is a child of this process, which then waits for its end."""

    def start(self) -> None:
        """Starts what does not run yet and waits until it answers.

        Raises:
            LabError: it does not answer in time; the message carries the end of its log.
        """
        subnet, _ = self.lab.load()
        subnet = subnet or network.choose_subnet(self.lab)
        network.bring_up(self.lab, subnet)
        self.lab.save(subnet, self.lab.load()[1])
        if self.answers():
            return
        for folder in (self.folder, self.run_folder):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        command = [
            "dockerd",
            f"--host={self.host}",
            f"--pidfile={self.pid_file}",
            f"--bridge={self.lab.mark}",
        ]
        command += [f"--data-root={self.folder / 'data'}", f"--exec-root={self.run_folder / 'exec'}"]
        command += ["--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false"]
        try:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except FileNotFoundError:
            raise LabError("dockerd is not installed: run scripts/bootstrap --vagrant") from None
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
                raise LabError("dockerd did not start:\n  " + "\n  ".join([*tail, f"(log: {self.log})"]))
            time.sleep(0.1)

    def stop(self) -> bool:
        """Removes its containers, the daemon, its bridge and all of its files; whether there was anything."""
        found = self.folder.exists() or self.run_folder.exists()
        if self.answers():
            containers = self.docker("ps", "--all", "--quiet").split()
            if containers:
                self.docker("rm", "--force", "--volumes", *containers)
        pid = self.pid()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while self.pid() == pid and time.monotonic() < deadline:
                time.sleep(0.1)
        if self.process:
            self.process.wait(STOP_SECONDS)
        found = network.bring_down(self.lab) or found
        self.unmount()
        for folder in (self.folder, self.run_folder):
            shutil.rmtree(folder, ignore_errors=True)
        if (self.lab.state / "cp").exists():
            control.hang_up(self.lab)
        return found

    def unmount(self) -> None:
        """Takes away what a daemon that ended early left mounted, the innermost first."""
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        for mounted in reversed([Path(line.split()[4]) for line in lines]):
            if mounted.is_relative_to(self.folder) or mounted.is_relative_to(self.run_folder):
                run(["umount", str(mounted)])

    def answers(self) -> bool:
        """Whether the daemon answers."""
        return self.pid() is not None and succeeds(["docker", "--host", self.host, "version"])

    def pid(self) -> int | None:
        """The daemon's process; None when it does not run, even when its file is still there."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self.pid_file.read_text(encoding="utf-8"))
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if f"--pidfile={self.pid_file}".encode() in words:
                return pid
        return None

    def docker(self, *words: str) -> str:
        """Runs `docker` against this daemon and returns what it printed.

        Raises:
            LabError: it failed.
        """
        done = subprocess.run(
            ["docker", "--host", self.host, *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LabError(f"docker {words[0]} failed: {done.stderr.strip()}")
        return done.stdout
