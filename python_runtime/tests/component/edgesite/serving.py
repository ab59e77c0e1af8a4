"""A server process, and kubectl on it."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

KUBECTL = Path(sys.executable).parent / "kubectl"


class Server:
    """A server process that can be killed and started again on the same port and data."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            *(sys.executable, "-m", "edgelab.edgesite", "server"),
            *("--data-dir", str(self.directory / "data"), "--listen", f"127.0.0.1:{self._port}"),
            *("--write-kubeconfig", str(self.kubeconfig)),
        ]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            assert self._process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
            except OSError:
                time.sleep(0.05)
                continue
            if self.kubeconfig.exists():
                return
            time.sleep(0.05)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None


async def kubectl(server: Server, *words: str, text: str = "", fails: bool = False) -> str:
    """What kubectl prints; it has to succeed, or with `fails` to fail."""
    process = await asyncio.create_subprocess_exec(
        str(KUBECTL),
        *("--kubeconfig", str(server.kubeconfig)),
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(text.encode()), 60)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert (process.returncode != 0) is fails, output.decode()
    return output.decode()
