"""The whole edge on loopback: EdgeSite, CloudCore, Mosquitto, containerd and EdgeCore with all modules."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.component.edgecore.mqtt_client import MqttClient, mqtt_client
from tests.component.edged import containerd as private
from tests.component.edged.containerd import Containerd
from tests.edgecore.cloud_peer import configuration
from tests.edgecore.processes import Process, ended, free_port, mosquitto, spawn

from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.interface import Obj
from edgelab.kube.resources import DEVICE_MODELS, DEVICE_STATUSES, DEVICES, NODES, PODS
from edgelab.objects.status import ApiError

BIN = Path(sys.executable).parent
CGROUP = f"/edgelab-chain-{os.getpid()}"
CEILING_MIB = 50


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    if missing := private.available():
        pytest.fail(f"component tests of edgecore: {missing}")
    with private.running("edgecore-test-", CGROUP) as daemon:
        yield daemon


class Chain:
    """Processes and ports of one test; `stack` ends them all."""

    def __init__(self, directory: Path, runtime: Containerd, stack: AsyncExitStack) -> None:
        self.directory = directory
        self.runtime = runtime
        self.stack = stack
        self.ports = {name: free_port() for name in ("api", "nodes", "https", "readonly", "page")}
        self.processes: dict[str, Process] = {}

    async def start(self) -> None:
        api = f"127.0.0.1:{self.ports['api']}"
        admin = self.directory / "kubeconfig"
        site = [str(BIN / "edgesite"), "server", "--data-dir", str(self.directory / "site"), "--listen", api]
        await self.spawn(
            "edgesite", *site, "--advertise-address", "127.0.0.1", "--write-kubeconfig", str(admin)
        )
        await self.processes["edgesite"].wait_for_line("serving")
        init = await asyncio.create_subprocess_exec(
            BIN / "keadm", "init", "--cluster-only", "--kube-config", admin, stdout=asyncio.subprocess.DEVNULL
        )
        assert await init.wait() == 0
        await self.start_cloudcore()
        self.broker = await self.stack.enter_async_context(mosquitto(self.directory))
        self.client: MqttClient = await self.stack.enter_async_context(mqtt_client(self.broker))
        self.api = await self.stack.enter_async_context(HttpClient(kubeconfig.load(admin)))
        self.configure_edge(await self.token())
        await self.start_edgecore()

    async def spawn(self, name: str, *arguments: str) -> None:
        process = await spawn(self.directory, name, *arguments)
        self.processes[name] = process
        self.stack.push_async_callback(self._end, process)

    async def _end(self, process: Process) -> None:
        if process.child.returncode is None:
            process.child.terminate()
            try:
                async with asyncio.timeout(10):
                    await process.child.wait()
            except TimeoutError:
                await process.kill()

    async def start_cloudcore(self) -> None:
        files = ("tlsCAFile", "tlsCAKeyFile", "tlsCertFile", "tlsPrivateKeyFile")
        settings = {
            "commonConfig": {"monitorServer": {"bindAddress": "127.0.0.1:0"}},
            "kubeAPIConfig": {"kubeConfig": str(self.directory / "kubeconfig")},
            "modules": {
                "cloudHub": {
                    "advertiseAddress": ["127.0.0.1"],
                    "websocket": {"address": "127.0.0.1", "port": self.ports["nodes"]},
                    "https": {"address": "127.0.0.1", "port": self.ports["https"]},
                    **{name: str(self.directory / "cloud" / name) for name in files},
                }
            },
        }
        path = self.directory / "cloudcore.yaml"
        path.write_text(yaml.safe_dump(settings))
        await self.spawn("cloudcore", str(BIN / "cloudcore"), "--config", str(path))
        await self.processes["cloudcore"].wait_for_line("serves edge nodes", 15)

    async def token(self) -> str:
        tell = await asyncio.create_subprocess_exec(
            BIN / "keadm",
            "gettoken",
            "--kube-config",
            self.directory / "kubeconfig",
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await tell.communicate()
        return out.decode().strip()

    def configure_edge(self, token: str) -> None:
        edge = self.directory / "edge"
        edge.mkdir()
        (edge / "bootstrap.conf").write_text(token)
        self.config = configuration(
            edge,
            self.ports["nodes"],
            edgeHub={
                "httpServer": f"https://127.0.0.1:{self.ports['https']}",
                "tlsCaFile": str(edge / "rootCA.crt"),
                "tlsCertFile": str(edge / "server.crt"),
                "tlsPrivateKeyFile": str(edge / "server.key"),
                "websocket": {"server": f"127.0.0.1:{self.ports['nodes']}"},
            },
            eventBus={"enable": True, "mqttServerExternal": f"tcp://127.0.0.1:{self.broker}"},
            edged={
                "enable": True,
                "nodeIP": "127.0.0.1",
                "rootDirectory": str(edge / "kubelet"),
                "tailoredKubeletConfig": {
                    "readOnlyPort": self.ports["readonly"],
                    "staticPodPath": str(edge / "manifests"),
                    "podLogsDir": str(edge / "logs"),
                    "cgroupRoot": CGROUP,
                    "containerRuntimeEndpoint": self.runtime.endpoint,
                    "imageServiceEndpoint": self.runtime.endpoint,
                },
            },
        )

    async def start_edgecore(self) -> None:
        await self.spawn("edgecore", str(BIN / "edgecore"), "--config", str(self.config))

    async def get(self, resource: Any, name: str, namespace: str | None = "default") -> Obj | None:
        try:
            return await self.api.get(resource, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def until(self, what: Callable[[], Any], seconds: float) -> float:
        """Wait until the awaited `what` is true; how long it took."""
        began = time.monotonic()
        async with asyncio.timeout(seconds):
            while not await what():
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def ready(self) -> bool:
        return condition(await self.get(NODES, "edge1", None), "Ready") == "True"

    async def running(self, name: str) -> bool:
        return condition(await self.get(PODS, name), "Ready") == "True"

    async def page(self) -> str:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports["page"])
        except OSError:
            return ""
        try:
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            return (await reader.read()).decode()
        finally:
            await ended(writer)

    async def serves(self) -> bool:
        """Whether edged's local server answers, which it does once it runs."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.ports["readonly"])
        except OSError:
            return False
        await ended(writer)
        return True

    async def reported(self) -> str | None:
        status = await self.get(DEVICE_STATUSES, "thermo") or {}
        twins = (status.get("status") or {}).get("twins") or []
        return twins[0]["reported"]["value"] if twins else None

    def resident(self, name: str) -> float:
        text = Path(f"/proc/{self.processes[name].pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Rss:"))


def condition(obj: Obj | None, kind: str) -> str:
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    return next((c["status"] for c in conditions if c["type"] == kind), "")


@pytest.fixture
async def chain(tmp_path: Path, containerd: Containerd) -> AsyncIterator[Chain]:
    async with AsyncExitStack() as stack:
        chain = Chain(tmp_path, containerd, stack)
        try:
            await chain.start()
            yield chain
        finally:
            for name, process in chain.processes.items():
                print(f"--- {name}\n{process.output()[-3000:]}")


def nginx(port: int) -> Obj:
    return {
        "metadata": {"name": "web"},
        "spec": {
            "nodeName": "edge1",
            "terminationGracePeriodSeconds": 2,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "nginx",
                    "image": private.REFERENCES["nginx"],
                    "imagePullPolicy": "IfNotPresent",
                    "ports": [{"containerPort": 80, "hostPort": port}],
                }
            ],
        },
    }


async def add_device(chain: Chain) -> None:
    model = {
        "metadata": {"name": "model"},
        "spec": {"properties": [{"name": "temperature", "type": "FLOAT"}]},
    }
    await chain.api.create(DEVICE_MODELS, model, "default")
    spec = {
        "deviceModelRef": {"name": "model"},
        "nodeName": "edge1",
        "properties": [{"name": "temperature"}],
    }
    await chain.api.create(DEVICES, {"metadata": {"name": "thermo"}, "spec": spec}, "default")


async def test_node_pod_and_device_come_up_survive_the_cloud_and_follow_it_again(chain: Chain) -> None:
    print(f"Ready after {await chain.until(chain.ready, 20):.2f} s")
    await chain.api.create(PODS, nginx(chain.ports["page"]), "default")
    print(f"pod ready after {await chain.until(lambda: chain.running('web'), 20):.2f} s")
    await chain.until(lambda: welcomes(chain), 5)
    await add_device(chain)
    await chain.client.expect("$hw/events/node/edge1/membership/updated", seconds=10)
    chain.client.update("default/thermo", temperature="20.5")
    await chain.until(lambda: equal(chain.reported, "20.5"), 10)
    started = await container_start(chain)

    # The cloud goes; EdgeCore is killed and comes back without it.
    cloud = chain.processes["cloudcore"]
    cloud.child.terminate()
    await cloud.child.wait()
    await chain.processes["edgecore"].kill()
    await chain.start_edgecore()
    await chain.processes["edgecore"].wait_for_line("working offline")
    assert "Welcome to nginx" in await chain.page()
    await chain.until(chain.serves, 10)
    chain.client.update("default/thermo", event="offline", temperature="21.5")
    await chain.client.expect(
        "$hw/events/device/default/thermo/twin/update/result", lambda body: body["event_id"] == "offline"
    )
    await chain.api.delete(PODS, "web", "default")
    await asyncio.sleep(1)
    assert "Welcome to nginx" in await chain.page()
    assert await container_start(chain) == started

    # The cloud is back.
    await chain.start_cloudcore()
    print(f"value after {await chain.until(lambda: equal(chain.reported, '21.5'), 20):.2f} s")
    print(f"pod gone after {await chain.until(lambda: gone(chain), 30):.2f} s")
    assert await chain.page() == ""
    size = chain.resident("edgecore")
    print(f"resident: edgecore {size:.1f} MiB, cloudcore {chain.resident('cloudcore'):.1f} MiB")
    assert size < CEILING_MIB
    for process in chain.processes.values():
        assert "Traceback" not in process.output()


async def welcomes(chain: Chain) -> bool:
    return "Welcome to nginx" in await chain.page()


async def equal(value: Callable[[], Any], wanted: str) -> bool:
    return bool(await value() == wanted)


async def gone(chain: Chain) -> bool:
    return await chain.get(PODS, "web") is None


async def container_start(chain: Chain) -> str:
    tell = await asyncio.create_subprocess_exec(
        *chain.runtime._ctr("-n", "k8s.io", "containers", "ls", "-q"), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await tell.communicate()
    return json.dumps(sorted(out.decode().split()))


async def test_a_node_made_by_hand_keeps_its_labels_and_taints_and_becomes_ready(chain: Chain) -> None:
    await chain.until(chain.ready, 20)
    edge = chain.processes["edgecore"]
    edge.child.terminate()
    await edge.child.wait()
    await chain.api.delete(NODES, "edge1")
    settings = yaml.safe_load(chain.config.read_text())
    settings["modules"]["edged"]["tailoredKubeletConfig"]["registerNode"] = False
    chain.config.write_text(yaml.safe_dump(settings))
    await chain.start_edgecore()
    await asyncio.sleep(2)
    assert await chain.get(NODES, "edge1", None) is None, "a node that does not register itself did so"

    taints = [{"effect": "NoSchedule", "key": "node-role.kubeedge.io", "value": "edge"}]
    labels = {"name": "edge1", "node-role.kubernetes.io/edge": ""}
    node = {"metadata": {"name": "edge1", "labels": labels}, "spec": {"taints": taints}}
    await chain.api.create(NODES, node)
    await chain.until(chain.ready, 20)
    made = await chain.get(NODES, "edge1", None)
    assert made is not None
    assert labels.items() <= made["metadata"]["labels"].items()
    assert [t for t in made["spec"]["taints"] if t["key"] == "node-role.kubeedge.io"] == taints
