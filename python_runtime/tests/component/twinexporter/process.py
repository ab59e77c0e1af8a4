"""A control plane, and the exporter as a process that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.component.edgesite.serving import KUBECTL, Server
from tests.component.twinexporter.conftest import free_port

import edgelab

DATA = Path(edgelab.__file__).parent / "data"


def until(true: Callable[[], Any], seconds: float = 30, what: str = "it did not come true") -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


class Cluster:
    """EdgeSite with the CRDs of devices."""

    def __init__(self, directory: Path) -> None:
        self.server = Server(directory)

    def start(self) -> None:
        self.server.start()
        self.kubectl("apply", "-f", str(DATA / "crds"))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")

    def stop(self) -> None:
        self.server.kill(signal.SIGTERM)

    def kubectl(self, *words: str, stdin: str = "") -> str:
        command = [str(KUBECTL), f"--kubeconfig={self.server.kubeconfig}", *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def report(self, device: str, at: int, state: str = "online", **values: str) -> None:
        """A device on node `edge1` reports values, all at the same time (milliseconds)."""
        about = {
            "apiVersion": "devices.kubeedge.io/v1beta1",
            "metadata": {"name": device, "namespace": "default"},
        }
        spec = {
            "deviceModelRef": {"name": "any"},
            "nodeName": "edge1",
            "protocol": {"protocolName": "modbus"},
        }
        twins = [
            {"propertyName": name, "reported": {"value": value, "metadata": {"timestamp": str(at)}}}
            for name, value in values.items()
        ]
        items = [
            {**about, "kind": "Device", "spec": spec},
            {**about, "kind": "DeviceStatus", "status": {"state": state, "twins": twins}},
        ]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def delete(self, device: str) -> None:
        self.kubectl("delete", "device,devicestatus", device, "--ignore-not-found")


class Exporter:
    """`edgelab-twinexporter` on a cluster, with a state directory and `/metrics`."""

    def __init__(self, directory: Path, cluster: Cluster, *words: str) -> None:
        self.state = directory / "state"
        self.address = f"127.0.0.1:{free_port()}"
        self.log = directory / "exporter.log"
        config = str(cluster.server.kubeconfig)
        self._command = [
            *(sys.executable, "-m", "edgelab.twinexporter", "--kube-config", config),
            *("--state-dir", str(self.state), "--listen", self.address, *words),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stderr=log, env={**os.environ, "TZ": "UTC"})

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    def get(self, path: str) -> str:
        """What it answers, whatever the status; nothing while it does not serve."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
                text: bytes = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
        except OSError:
            return ""
        return text.decode()

    def counted(self, name: str) -> float:
        """One of its own counters, without labels; -1 while it does not serve."""
        for line in self.get("/metrics").splitlines():
            if line.startswith(f"edgelab_twinexporter_{name} "):
                return float(line.rpartition(" ")[2])
        return -1

    def settle(self) -> None:
        """Wait until it is well and nothing waits."""
        until(lambda: self.get("/healthz") == "ok\n" and self.counted("waiting_lines") == 0, 60, self.told())

    def told(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""
