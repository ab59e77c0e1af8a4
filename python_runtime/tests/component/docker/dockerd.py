"""A private dockerd for tests: own root, state, socket and namespaces (see `edged.containerd`).

Its containerd is a process of its own, as Debian's units run the two: it outlives a crash of dockerd.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.component.edged.containerd import Containerd

PROGRAMS = ("dockerd", "containerd", "runc", "iptables")


def available() -> str:
    """Why dockerd cannot be run here; empty when it can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        missing.append("root")
    return f"needs {', '.join(missing)} (scripts/packages-test.txt)" if missing else ""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("docker")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


class Dockerd:
    """The daemon with its own containerd; `stop` ends both and what they run."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.socket = base / "docker.sock"
        self.process: subprocess.Popen[bytes] | None = None
        self._containerd = Containerd(base / "ctrd")

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        if self._containerd.process is None:
            self._containerd.start(network=False)
        arguments = [
            *("--host", self.endpoint, "--data-root", self.base / "root", "--exec-root", self.base / "exec"),
            *("--pidfile", self.base / "docker.pid", "--config-file", self._config()),
            *("--containerd", self._containerd.socket),
        ]
        log = (self.base / "dockerd.log").open("ab")
        self.process = subprocess.Popen(
            ["dockerd", *map(str, arguments)], stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        deadline = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError((self.base / "dockerd.log").read_text()[-3000:])
            time.sleep(0.05)

    def load(self, archives: dict[str, Path]) -> None:
        for path in archives.values():
            status, answer = self._ask("POST", "/images/load?quiet=1", path.read_bytes())
            if status != 200 or b'"error"' in answer:
                raise RuntimeError(answer.decode())

    def kill_daemon(self) -> None:
        """As a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()  # it stops its containers
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.kill_daemon()
        self._containerd.kill_daemon()
        for pid in self._left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _config(self) -> Path:
        """No configuration of the machine's own."""
        path = self.base / "daemon.json"
        path.write_text('{"exec-opts": ["native.cgroupdriver=cgroupfs"], "live-restore": true}')
        return path

    def _answers(self) -> bool:
        try:
            return self._ask("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = _UnixConnection(self.socket)
        try:
            connection.request(method, path, body, {"Content-Type": "application/x-tar"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _left(self) -> Iterator[int]:
        """Processes that name this daemon's directory: its containerd and the shims."""
        for path in Path("/proc").iterdir():
            if path.name.isdigit() and int(path.name) != os.getpid():
                with suppress(OSError):
                    command = (path / "cmdline").read_bytes()
                    if str(self.base).encode() in command and b"containerd" in command:
                        yield int(path.name)


@contextmanager
def unmounted(base: Path) -> Iterator[None]:
    """Take mounts below `base` away at the end."""
    try:
        yield
    finally:
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(str(base))), reverse=True):
            subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
