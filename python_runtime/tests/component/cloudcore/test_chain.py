"""CloudCore as a process on a real EdgeSite: the definitions, patches and subresources are real here."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from tests.cloudcore.cloud import Edge

from edgelab.daemon.errors import Unreachable
from edgelab.identity import enrol
from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import (
    CLUSTER_OBJECT_SYNCS,
    DEVICE_MODELS,
    DEVICE_STATUSES,
    DEVICES,
    LEASES,
    NODES,
    OBJECT_SYNCS,
    PODS,
)
from edgelab.objects.status import ApiError

BIN = Path(sys.executable).parent
NODE = {
    "metadata": {"name": "edge1", "labels": {"node-role.kubernetes.io/edge": ""}},
    "spec": {},
    "status": {"capacity": {"cpu": "2", "memory": "1Gi", "pods": "110"}, "conditions": []},
}


@dataclass
class Place:
    """Where everything of one test session lies."""

    directory: Path
    api: int
    nodes: int
    https: int

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def started(arguments: list[str | Path], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            arguments, stdout=output, stderr=output, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("chain")
    place = Place(directory, free_port(), free_port(), free_port())
    arguments = ["server", "--data-dir", directory / "site", "--listen", f"127.0.0.1:{place.api}"]
    arguments += ["--advertise-address", "127.0.0.1", "--write-kubeconfig", place.kubeconfig]
    site = started([BIN / "edgesite", *arguments], directory / "site.log")
    try:
        wait_until(place.kubeconfig.exists)
        wait_until(lambda: "serving" in (directory / "site.log").read_text())
        subprocess.run(
            [BIN / "keadm", "init", "--cluster-only", "--kube-config", place.kubeconfig],
            check=True,
            capture_output=True,
        )
        yield place
    finally:
        stop(site)


@pytest.fixture
def cloudcore(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    files = {name: str(place.directory / "none" / name) for name in ("ca", "cakey", "crt", "key")}
    hub: dict[str, Any] = {
        "advertiseAddress": ["127.0.0.1"],
        "tlsCAFile": files["ca"],
        "tlsCAKeyFile": files["cakey"],
        "tlsCertFile": files["crt"],
        "tlsPrivateKeyFile": files["key"],
        "websocket": {"address": "127.0.0.1", "port": place.nodes},
        "https": {"address": "127.0.0.1", "port": place.https},
    }
    settings = {
        "commonConfig": {"monitorServer": {"bindAddress": "127.0.0.1:0"}},
        "kubeAPIConfig": {"kubeConfig": str(place.kubeconfig)},
        "modules": {"cloudHub": hub},
    }
    path = place.directory / "cloudcore.yaml"
    path.write_text(yaml.safe_dump(settings))
    log = place.directory / "cloudcore.log"
    log.unlink(missing_ok=True)
    process = started([BIN / "cloudcore", "--config", path], log)
    try:
        wait_until(lambda: "serves edge nodes" in log.read_text())
        yield process
    finally:
        stop(process)


@pytest.fixture
async def api(place: Place) -> AsyncIterator[HttpClient]:
    async with HttpClient(kubeconfig.load(place.kubeconfig)) as client:
        yield client


def wait_until(check: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(FileNotFoundError):
            if check():
                return
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


async def becomes(check: Any, seconds: float = 10) -> Any:
    """Ask until the answer is true; errors of the API count as not yet."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(ApiError, Unreachable):
                if found := await check():
                    return found
            await asyncio.sleep(0.05)


async def join(place: Place) -> Edge:
    directory = place.directory / "edge1"
    request = enrol.Request(
        f"https://127.0.0.1:{place.https}", "edge1", directory / "ca", directory / "crt", directory / "key"
    )
    if not request.cert_file.exists():
        token = subprocess.run(
            [BIN / "keadm", "gettoken", "--kube-config", place.kubeconfig],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        await asyncio.to_thread(enrol.enrol, request, token)
    edge = Edge("edge1")
    await edge.connect(request, place.nodes, {"edgelab-window": "16"})
    return edge


async def record(api: HttpClient, kind: Resource, uid: str) -> str:
    namespace = "default" if kind.namespaced else None
    sync = await api.get(kind, f"edge1.{uid}", namespace)
    return str((sync.get("status") or {}).get("objectResourceVersion"))


async def test_node_pod_and_device_go_the_whole_way(
    place: Place, cloudcore: subprocess.Popen[bytes], api: HttpClient
) -> None:
    edge = await join(place)
    await register(edge, api)
    await run_a_pod(edge, api)
    await report_a_device(edge, api)
    await edge.close()
    await miss_a_deletion(place, cloudcore, api)


def text(content: Any) -> str:
    """JSON text, as patches travel."""
    return msgspec.json.encode(content).decode()


async def register(edge: Edge, api: HttpClient) -> None:
    answer = (await edge.ask("null/node/edge1", "insert", NODE)).object()
    assert answer["Err"] is None
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "EdgeReady",
        "message": "edge is posting ready status",
    }
    patch = text({"status": {"conditions": [ready]}})
    answer = (await edge.ask("null/nodepatch/edge1", "patch", patch)).object()
    assert answer["Err"] is None
    node = await api.get(NODES, "edge1")
    conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert node["metadata"]["annotations"]["cloudcore"] == "127.0.0.1"
    lease = {
        "metadata": {"name": "edge1", "namespace": "kube-node-lease"},
        "spec": {
            "holderIdentity": "edge1",
            "leaseDurationSeconds": 40,
            "renewTime": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        },
    }
    made = (await edge.ask("kube-node-lease/lease/edge1", "insert", lease)).object()
    assert made["Err"] is None
    renewed = (await edge.ask("kube-node-lease/lease/edge1", "update", made["Object"])).object()
    assert renewed["Err"] is None
    assert await api.get(LEASES, "edge1", "kube-node-lease")
    uid = node["metadata"]["uid"]
    await becomes(lambda: record(api, CLUSTER_OBJECT_SYNCS, uid))


async def run_a_pod(edge: Edge, api: HttpClient) -> None:
    pod = await make_pod(api, "web")
    pushed = await edge.pushed("default/pod/web", "insert")
    assert pushed.object()["spec"]["nodeName"] == "edge1"
    uid = pod["metadata"]["uid"]
    container = {"name": "c", "image": "i", "imageID": "", "ready": True, "restartCount": 0}
    status = {"phase": "Running", "containerStatuses": [container]}
    patch = {"metadata": {"uid": uid}, "status": status}
    answer = (await edge.ask("default/podpatch/web", "patch", text(patch))).object()
    assert answer["Err"] is None
    assert (await api.get(PODS, "web", "default"))["status"]["phase"] == "Running"
    wrong = text({"metadata": {"uid": "other"}, "status": status})
    refused = (await edge.ask("default/podpatch/web", "patch", wrong)).object()
    assert refused["Err"]["ErrStatus"]["reason"] == "Invalid"  # as kube-apiserver answers
    token = await edge.ask(
        "default/serviceaccounttoken/default",
        "query",
        {
            "metadata": {"creationTimestamp": None},
            "spec": {
                "audiences": None,
                "expirationSeconds": 3607,
                "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": uid},
            },
            "status": {"token": "", "expirationTimestamp": None},
        },
    )
    assert token.object()["status"]["token"].count(".") == 2
    root = await edge.ask("default/configmap/kube-root-ca.crt", "query")
    assert "ca.crt" in root.object()["data"]
    await api.delete(PODS, "web", "default")
    ending = await edge.wait(
        lambda m: m.route.resource == "default/pod/web" and "deletionTimestamp" in m.object()["metadata"]
    )
    assert ending.route.operation == "update"
    options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
    assert (await edge.ask("default/pod/web", "delete", options)).value() == "OK"
    await edge.pushed("default/pod/web", "delete")

    async def forgotten() -> bool:
        return not [s for s in (await api.list(OBJECT_SYNCS)).items if s["spec"]["objectName"] == "web"]

    await becomes(forgotten)


async def make_pod(api: HttpClient, name: str) -> Obj:
    spec = {
        "nodeName": "edge1",
        "containers": [{"name": "c", "image": "i"}],
        "tolerations": [{"operator": "Exists"}],
    }
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    return await becomes(lambda: api.create(PODS, body, "default"))


async def report_a_device(edge: Edge, api: HttpClient) -> None:
    kind = {"apiVersion": DEVICES.api_version}
    properties = [{"name": "temperature", "type": "FLOAT", "accessMode": "ReadOnly"}]
    model = {
        **kind,
        "kind": "DeviceModel",
        "metadata": {"name": "thermo"},
        "spec": {"properties": properties},
    }
    await api.create(DEVICE_MODELS, model, "default")
    spec = {
        "deviceModelRef": {"name": "thermo"},
        "nodeName": "edge1",
        "properties": [{"name": "temperature"}],
    }
    await api.create(DEVICES, {**kind, "kind": "Device", "metadata": {"name": "d1"}, "spec": spec}, "default")
    await edge.pushed("default/device/d1", "insert")
    twin = {
        "actual": {"value": "21.5", "metadata": {"timestamp": 1795246697183}},
        "metadata": {"type": "float"},
    }
    content = {"event_id": "e", "timestamp": 1795246697189, "twin": {"temperature": twin}}
    await edge.ask("device/default/d1/twin/edge_updated", "update", content, source="twin")
    status = await api.get(DEVICE_STATUSES, "d1", "default")
    assert status["metadata"]["labels"] == {"edgelab.io/node": "edge1"}
    assert status["status"]["twins"] == [
        {
            "propertyName": "temperature",
            "reported": {"value": "21.5", "metadata": {"timestamp": "1795246697183", "type": "float"}},
            "observedDesired": {"value": ""},
        }
    ]


async def miss_a_deletion(place: Place, cloudcore: subprocess.Popen[bytes], api: HttpClient) -> None:
    assert cloudcore.poll() is None
    log = (place.directory / "cloudcore.log").read_text()
    assert "Traceback" not in log
    gone = await make_pod(api, "gone")
    edge = await join(place)
    await edge.pushed("default/pod/gone", "insert")
    await becomes(lambda: record(api, OBJECT_SYNCS, gone["metadata"]["uid"]))
    await edge.close()
    await api.delete(PODS, "gone", "default", options={"gracePeriodSeconds": 0})
    back = await join(place)
    began = time.monotonic()
    await back.pushed("default/pod/gone", "delete", 10)
    assert time.monotonic() - began < 6
    await back.close()
