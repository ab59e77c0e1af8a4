"""keadm against a real EdgeSite: set up, apply, change, register, wait; twice each."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

MODEL = str(files("edgelab").joinpath("data", "manifests", "cpu-temperature.yaml"))


class Cluster:
    def __init__(self, directory: Path) -> None:
        self.kubeconfig = directory / "kubeconfig"
        words = ["--data-dir", str(directory / "data"), "--listen", "127.0.0.1:0"]
        words += ["--write-kubeconfig", str(self.kubeconfig), "--advertise-address", "127.0.0.1"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edgelab.edgesite", "server", *words], stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while self.keadm("node", "get", "--name", "none")[0] != 0:
            assert time.monotonic() < deadline, "EdgeSite does not answer"
            time.sleep(0.2)

    def keadm(self, *words: str, stdin: str = "") -> tuple[int, dict[str, Any]]:
        command = [sys.executable, "-m", "edgelab.keadm", *words]
        done = subprocess.run(
            [*command, "--kube-config", str(self.kubeconfig), "--output", "json"],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, json.loads(done.stdout)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(15)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("edgesite"))
    yield cluster
    cluster.stop()


def test_init_applies_the_crds_once_and_they_are_served_then(cluster: Cluster) -> None:
    status, told = cluster.keadm("init", "--cluster-only", "--check")
    assert (status, told["changed"]) == (0, True)
    status, first = cluster.keadm("init", "--cluster-only")
    assert status == 0, first
    assert "devices.devices.kubeedge.io" in first["applied"]
    assert "kubeedge" in first["applied"]
    assert cluster.keadm("init", "--cluster-only")[1]["changed"] is False
    status, applied = cluster.keadm("apply", "-f", MODEL)
    assert (status, applied["objects"][0]["action"]) == (0, "created"), applied
    assert cluster.keadm("apply", "-f", MODEL)[1]["changed"] is False


def test_a_deployment_is_changed_where_it_differs_and_only_there(cluster: Cluster) -> None:
    container = {"name": "c", "image": "nginx:1", "resources": {"limits": {"cpu": "1000m"}}}
    template = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "w"}}, "template": template}
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w"}, "spec": spec}
    call = ("apply", "-f", "-")
    assert cluster.keadm(*call, stdin=json.dumps(manifest))[1]["objects"][0]["action"] == "created"
    assert cluster.keadm(*call, stdin=json.dumps(manifest))[1]["changed"] is False
    container["image"] = "nginx:2"
    assert cluster.keadm(*call, "--check", stdin=json.dumps(manifest))[1]["changed"] is True
    assert cluster.keadm(*call, stdin=json.dumps(manifest))[1]["objects"][0]["action"] == "changed"
    assert cluster.keadm(*call, stdin=json.dumps(manifest))[1]["changed"] is False


def test_what_the_server_refuses_is_told_in_its_words(cluster: Cluster) -> None:
    wrong = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not_A_Name"}}
    status, answer = cluster.keadm("apply", "-f", "-", stdin=json.dumps(wrong))
    assert status == 1
    assert "Not_A_Name" in answer["error"]
    assert (answer["code"], answer["reason"]) == (422, "Invalid")


async def test_wait_returns_as_soon_as_the_node_is_ready(cluster: Cluster) -> None:
    from edgelab.kube.client import HttpClient
    from edgelab.kube.kubeconfig import load
    from edgelab.kube.resources import NODES

    register = ("node", "register", "--name", "edge9", "--taint", "edge:NoSchedule")
    assert cluster.keadm(*register)[1]["changed"] is True
    assert cluster.keadm(*register)[1]["changed"] is False
    waiting = asyncio.create_task(
        asyncio.to_thread(cluster.keadm, "node", "wait", "--name", "edge9", "--timeout", "20"), name="wait"
    )
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}
    await asyncio.sleep(1)
    async with HttpClient(load(cluster.kubeconfig)) as api:
        await api.patch(NODES, "edge9", {"status": {"conditions": [condition]}}, subresource="status")
    status, answer = await waiting
    assert (status, answer["ready"]) == (0, True), answer


async def test_of_two_requests_with_one_node_token_the_api_server_lets_one_win(cluster: Cluster) -> None:
    from edgelab.cloudcore.cloudhub.tokens import TokenLedger
    from edgelab.identity import token
    from edgelab.kube.client import HttpClient
    from edgelab.kube.kubeconfig import load

    assert cluster.keadm("cert", "ensure", "--address", "127.0.0.1")[0] == 0
    assert cluster.keadm("cert", "ensure", "--address", "127.0.0.1")[1]["changed"] is False
    made = cluster.keadm("token", "create", "--node", "edge5")[1]
    claims = token.peek(made["token"])
    assert claims is not None
    async with HttpClient(load(cluster.kubeconfig)) as one, HttpClient(load(cluster.kubeconfig)) as two:
        ledgers = [TokenLedger(one, "kubeedge"), TokenLedger(two, "kubeedge")]
        results = await asyncio.gather(
            *(ledgers[i % 2].spend(claims, "edge5", f"key-{i}") for i in range(8)), return_exceptions=True
        )
    assert [result for result in results if result is None] == [None]
    assert all(isinstance(result, token.TokenError) for result in results if result is not None), results
    [record] = cluster.keadm("token", "list", "--node", "edge5")[1]["tokens"]
    assert record["state"] == "used"
    assert cluster.keadm("token", "delete", "--node", "edge5")[1]["changed"] is False


def test_a_node_is_drained_by_evictions_that_the_api_server_carries_out(cluster: Cluster) -> None:
    assert cluster.keadm("node", "register", "--name", "edge6")[1]["changed"] is True
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bare", "namespace": "default"},
        "spec": {
            "nodeName": "edge6",
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "c", "image": "i"}],
        },
    }
    status, told = cluster.keadm("apply", "-f", "-", stdin=json.dumps(pod))
    assert status == 0, told
    drain = ("node", "drain", "--name", "edge6", "--timeout", "20")
    status, told = cluster.keadm(*drain)
    assert status == 1
    assert "pod default/bare has no controller" in told["error"]
    status, told = cluster.keadm(*drain, "--force")
    assert (status, told["evicted"]) == (0, ["default/bare"]), told
    assert told["node"]["spec"]["unschedulable"] is True
    assert cluster.keadm(*drain)[1]["changed"] is False
    assert cluster.keadm("node", "uncordon", "--name", "edge6")[1]["changed"] is True
