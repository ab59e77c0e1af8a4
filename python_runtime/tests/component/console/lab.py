"""A control plane, a database and the console, each a process of its own; objects as a lab has them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.component.edgesite.serving import KUBECTL, Server
from tests.component.twinexporter.conftest import VictoriaMetrics

import edgelab

DATA = Path(edgelab.__file__).parent / "data"
STARTED_SECONDS = 60


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Lab:
    """`server` and `database` run; the console is started with `start`."""

    def __init__(self, directory: Path, server: Server, database: VictoriaMetrics) -> None:
        self.directory = directory
        self.server = server
        self.database = database
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.kubeconfig = directory / "console.kubeconfig"
        self._process: subprocess.Popen[bytes] | None = None

    # The cluster

    def kubectl(self, *words: str, stdin: str = "", config: Path | None = None, check: bool = True) -> str:
        command = [str(KUBECTL), f"--kubeconfig={config or self.server.kubeconfig}", *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout + done.stderr

    def prepare(self) -> None:
        """CRDs, the console's account, and its kubeconfig as role console makes it."""
        self.kubectl("apply", "-f", str(DATA / "crds"))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        self.kubectl("apply", "-f", str(DATA / "manifests" / "console.yaml"))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "edgelab.keadm", "kubeconfig", "--service-account"),
                *("kube-system/edgelab-console", "--file", str(self.kubeconfig)),
                *("--kube-config", str(self.server.kubeconfig)),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr

    def put(self, *objects: dict[str, Any]) -> None:
        """Bring objects to what is given; a status by its subresource where there is one."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=_list(objects))
        for kind in ("Node", "Pod"):
            parts = [obj for obj in objects if obj["kind"] == kind]
            if parts:
                self.kubectl(
                    *("apply", "--server-side", "--force-conflicts", "--subresource=status", "-f", "-"),
                    stdin=_list(parts),
                )

    def samples(self, name: str, *points: tuple[float, float]) -> None:
        """Times (seconds) and values of a property, as the twinexporter writes them."""
        series = "kubeedge_device,namespace=default,device=boiler,node=edge1"
        lines = "\n".join(f"{series} {name}={value} {int(at * 1e9)}" for at, value in points)
        request = urllib.request.Request(f"{self.database.url}/write", data=lines.encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status < 300
        self.database.get("/internal/force_flush")

    # The console

    def settings(self, **more: Any) -> Path:
        file = self.directory / "console.yaml"
        values = {
            "listen": [f"127.0.0.1:{self.port}"],
            "kubeConfig": str(self.kubeconfig),
            "timeSeries": self.database.url,
        }
        file.write_text(json.dumps({**values, **more}), encoding="utf-8")
        return file

    def start(self, **settings: Any) -> None:
        """Start it and wait until systemd would be told that it is ready."""
        place = self.directory / "notify"
        place.unlink(missing_ok=True)
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._told.bind(str(place))
        self._told.settimeout(0.1)
        with (self.directory / "console.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edgelab.console", "--config", str(self.settings(**settings))],
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(place)},
            )
        self._wait_until_ready(self._told)

    def _wait_until_ready(self, told: socket.socket) -> None:
        deadline = time.monotonic() + STARTED_SECONDS
        while True:
            try:
                assert b"READY=1" in told.recv(4096)
                return
            except TimeoutError:
                log = (self.directory / "console.log").read_text(encoding="utf-8")
                assert self._process is not None
                assert self._process.poll() is None, log
                assert time.monotonic() < deadline, log

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None
            self._told.close()

    def memory(self) -> float:
        """Resident memory of the console, MiB."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def health(self) -> tuple[int, str]:
        """Status and text of /healthz; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}healthz", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def until_health(self, status: int, seconds: float = 60) -> str:
        """Wait until /healthz answers so; its text."""
        deadline = time.monotonic() + seconds
        while (found := self.health())[0] != status:
            log = (self.directory / "console.log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline, f"{found}\n{log}"
            time.sleep(0.1)
        return found[1]


def _list(objects: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
