"""EdgeSite and CloudCore as processes, with the DynamicController on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from tests.cloudcore.cloud import Edge

from edgelab.identity import enrol
from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient

BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until(check: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


class Process:
    """A daemon that can be ended and started again."""

    def __init__(self, name: str, directory: Path, *arguments: str | Path, serving: str) -> None:
        self.log = directory / f"{name}.log"
        self._arguments = arguments
        self._serving = serving
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.log.unlink(missing_ok=True)
        with self.log.open("wb") as output:
            environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
            self._process = subprocess.Popen(self._arguments, stdout=output, stderr=output, env=environment)
        wait_until(lambda: self._serving in self.text())

    def text(self) -> str:
        text = self.log.read_text()
        assert self._process is None or self._process.poll() is None, text
        return text

    def stop(self, number: int = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


class Lab:
    """The cloud's side: `site` is the control plane, `cloud` is CloudCore."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.api_port, self.nodes, self.https = free_port(), free_port(), free_port()
        self.kubeconfig = directory / "kubeconfig"
        arguments = ["server", "--data-dir", directory / "site", "--listen", f"127.0.0.1:{self.api_port}"]
        arguments += ["--advertise-address", "127.0.0.1", "--write-kubeconfig", self.kubeconfig]
        self.site = Process("site", directory, BIN / "edgesite", *arguments, serving="serving")
        config = directory / "cloudcore.yaml"
        self.cloud = Process(
            "cloudcore", directory, BIN / "cloudcore", "--config", config, serving="serves edge nodes"
        )

    def start(self, gates: dict[str, bool] | None = None, **hub: Any) -> None:
        self.site.start()
        wait_until(self.kubeconfig.exists)
        self.keadm("init", "--cluster-only")
        (self.directory / "cloudcore.yaml").write_text(
            yaml.safe_dump({"featureGates": gates or {}, **self._settings(hub)})
        )
        self.cloud.start()

    def stop(self) -> None:
        self.cloud.stop()
        self.site.stop()

    def keadm(self, *words: str) -> str:
        command = [BIN / "keadm", *words, "--kube-config", self.kubeconfig]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def api(self) -> HttpClient:
        return HttpClient(kubeconfig.load(self.kubeconfig))

    async def join(self, name: str = "edge1") -> Edge:
        """A node as far as the wire shows it."""
        files = self.directory / name
        request = enrol.Request(
            f"https://127.0.0.1:{self.https}", name, files / "ca", files / "crt", files / "key"
        )
        if not request.cert_file.exists():
            await asyncio.to_thread(enrol.enrol, request, await asyncio.to_thread(self.keadm, "gettoken"))
        edge = Edge(name)
        await edge.connect(request, self.nodes, {})
        return edge

    def _settings(self, hub: dict[str, Any]) -> dict[str, Any]:
        files = {name: str(self.directory / "none" / name) for name in ("ca", "cakey", "crt", "key")}
        settings = {
            "advertiseAddress": ["127.0.0.1"],
            "tlsCAFile": files["ca"],
            "tlsCAKeyFile": files["cakey"],
            "tlsCertFile": files["crt"],
            "tlsPrivateKeyFile": files["key"],
            "websocket": {"address": "127.0.0.1", "port": self.nodes},
            "https": {"address": "127.0.0.1", "port": self.https},
            **hub,
        }
        return {
            "commonConfig": {"monitorServer": {"bindAddress": "127.0.0.1:0"}},
            "kubeAPIConfig": {"kubeConfig": str(self.kubeconfig)},
            "modules": {"cloudHub": settings, "dynamicController": {"enable": True}},
        }


class TunnelLab(Lab):
    """The same with tunnels of nodes, on any port."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.tunnels, self.first = free_port(), free_port()

    def _settings(self, hub: dict[str, Any]) -> dict[str, Any]:
        settings = super()._settings(hub)
        own = settings["modules"]["cloudHub"]
        settings["modules"]["cloudStream"] = {
            "enable": True,
            "tunnelPort": self.tunnels,
            "streamPort": 0,
            "tlsTunnelCertFile": own["tlsCertFile"],
            "tlsTunnelPrivateKeyFile": own["tlsPrivateKeyFile"],
        }
        last = min(65535, self.first + 200)
        settings["edgelab"] = {"stream": {"firstPort": self.first, "lastPort": last}}
        return settings


class EdgeNode:
    """EdgeCore with a MetaServer, and nothing that needs a container runtime."""

    def __init__(self, lab: Lab, directory: Path, name: str = "edge1", **gates: bool) -> None:
        directory.mkdir(exist_ok=True)
        self.port = free_port()
        self.name = name
        files = {field: str(directory / field) for field in ("ca", "crt", "key")}
        settings = {
            "database": {"dataSource": str(directory / "edgecore.db")},
            "edgelab": {
                "bootstrapFile": str(directory / "bootstrap.conf"),
                "reconnectCap": "1s",
                "metaServerDirectory": str(directory / "metaserver"),
            },
            "featureGates": gates,
            "modules": {
                "edged": {"enable": False, "hostnameOverride": name},
                "eventBus": {"enable": False},
                "deviceTwin": {"enable": False},
                "edgeHub": {
                    "httpServer": f"https://127.0.0.1:{lab.https}",
                    "tlsCaFile": files["ca"],
                    "tlsCertFile": files["crt"],
                    "tlsPrivateKeyFile": files["key"],
                    "websocket": {"server": f"127.0.0.1:{lab.nodes}"},
                },
                "metaManager": {
                    "metaServer": {
                        "enable": True,
                        "server": f"127.0.0.1:{self.port}",
                        "dummyServer": f"127.0.0.2:{self.port}",
                    }
                },
            },
        }
        config = directory / "edgecore.yaml"
        config.write_text(yaml.safe_dump(settings))
        (directory / "bootstrap.conf").write_text(lab.keadm("gettoken") + "\n")
        self.directory = directory
        self.core = Process(
            f"edgecore-{name}", directory, BIN / "edgecore", "--config", config, serving="running edgehub"
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def kubectl(self, *words: str, text: str = "", fails: bool = False) -> str:
        """What kubectl prints on the MetaServer; it has to succeed, or with `fails` to fail."""
        process = await asyncio.create_subprocess_exec(
            str(BIN / "kubectl"),
            *("--server", self.url, "--cache-dir", str(self.directory / "cache"), *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"HOME": str(self.directory), "PATH": os.environ["PATH"]},
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(text.encode()), 60)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        assert (process.returncode != 0) is fails, output.decode()
        return output.decode()
