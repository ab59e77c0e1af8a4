"""`keadm node` cordon, uncordon, drain, and a Ready that can be trusted."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.keadm.api_server import ApiServer
from tests.keadm.conftest import Keadm

from edgelab.daemon.clock import rfc3339_micro

PODS = "/api/v1/namespaces/default/pods"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/edge1"


@pytest.fixture
def ask(keadm: Keadm, kube_config: Path) -> Any:
    return lambda verb, *words: keadm("node", verb, "--name", "edge1", *words, "--kube-config", kube_config)


@pytest.fixture(autouse=True)
def node(server: ApiServer) -> None:
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    body = {"kind": "Node", "metadata": {"name": "edge1"}, "spec": {}, "status": status}
    server.store("PUT", "/api/v1/nodes/edge1", body)


def put_pod(
    server: ApiServer, name: str, owner: str = "ReplicaSet", node: str = "edge1", **more: Any
) -> None:
    owners = [{"kind": owner, "name": "o", "controller": True}] if owner else []
    metadata = {"name": name, "namespace": "default", "uid": name, "ownerReferences": owners}
    metadata["annotations"] = more.pop("annotations", {})
    spec = {"nodeName": node, **more}
    server.store("PUT", f"{PODS}/{name}", {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {}})


def put_lease(server: ApiServer, seconds_ago: float) -> None:
    moment = rfc3339_micro(dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds_ago))
    server.store("PUT", LEASE, {"metadata": {"name": "edge1"}, "spec": {"renewTime": moment}})


def test_cordon_and_uncordon_change_once(ask: Any, server: ApiServer) -> None:
    assert ask("cordon", "--check")[1]["changed"] is True
    assert "unschedulable" not in server.objects["/api/v1/nodes/edge1"]["spec"]
    assert [ask("cordon")[1]["changed"] for _ in range(2)] == [True, False]
    assert server.objects["/api/v1/nodes/edge1"]["spec"] == {"unschedulable": True}
    assert [ask("uncordon")[1]["changed"] for _ in range(2)] == [True, False]
    assert server.objects["/api/v1/nodes/edge1"]["spec"] == {}


def test_draining_leaves_daemon_sets_mirror_pods_and_other_nodes_alone(ask: Any, server: ApiServer) -> None:
    put_pod(server, "web")
    put_pod(server, "agent", "DaemonSet")
    put_pod(server, "static", "Node", annotations={"kubernetes.io/config.mirror": "x"})
    put_pod(server, "elsewhere", node="edge2")
    told = ask("drain", "--check")[1]
    assert (told["changed"], told["evicted"]) == (True, ["default/web"])
    assert f"{PODS}/web" in server.objects
    told = ask("drain")[1]
    assert (told["changed"], told["evicted"]) == (True, ["default/web"])
    assert server.objects["/api/v1/nodes/edge1"]["spec"] == {"unschedulable": True}
    left = sorted(path.rpartition("/")[2] for path in server.objects if path.startswith(PODS))
    assert left == ["agent", "elsewhere", "static"]
    assert ask("drain")[1]["changed"] is False


@pytest.mark.parametrize(
    ("pod", "option"),
    [
        ({"owner": ""}, "--force"),
        ({"volumes": [{"name": "v", "emptyDir": {}}]}, "--delete-emptydir-data"),
    ],
)
def test_what_would_be_lost_is_evicted_only_when_asked_for(
    ask: Any, server: ApiServer, pod: dict[str, Any], option: str
) -> None:
    put_pod(server, "precious", **pod)
    put_pod(server, "web")
    status, told = ask("drain")
    assert status == 1
    assert "default/precious" in told["error"]
    assert option in told["error"]
    assert server.objects["/api/v1/nodes/edge1"]["spec"] == {}
    assert ask("drain", option)[1]["evicted"] == ["default/precious", "default/web"]


def test_a_disruption_budget_is_waited_for_and_then_reported(ask: Any, server: ApiServer) -> None:
    put_pod(server, "web", annotations={"test/budget": "1"})
    assert ask("drain", "--timeout", "5")[1]["changed"] is True
    put_pod(server, "web", annotations={"test/budget": "99"})
    status, told = ask("drain", "--timeout", "0.2")
    assert status == 1
    assert "default/web (Cannot evict pod as it would violate" in told["error"]


def test_a_pod_that_does_not_end_is_named(ask: Any, server: ApiServer) -> None:
    put_pod(server, "web", annotations={"test/stays": ""})
    status, told = ask("drain", "--timeout", "0.2")
    assert status == 1
    assert "there stay: default/web (it does not end" in told["error"]


def test_ready_with_an_old_lease_is_not_believed(ask: Any, server: ApiServer) -> None:
    wait = ("wait", "--timeout", "0", "--max-lease-age", "20")
    assert ask("wait", "--timeout", "0")[0] == 0
    assert "never renewed its lease" in ask(*wait)[1]["error"]
    put_lease(server, seconds_ago=35)
    status, told = ask(*wait)
    assert (status, told["ready"]) == (1, False)
    assert "its lease was renewed 35 s ago and not within 20 s" in told["reason"]
    put_lease(server, seconds_ago=3)
    assert ask(*wait)[0] == 0


def test_a_lease_that_is_renewed_while_we_wait_counts_although_clocks_differ(
    ask: Any, server: ApiServer
) -> None:
    put_lease(server, seconds_ago=3600)
    timer = threading.Timer(0.7, put_lease, (server, 3590))
    timer.start()
    assert ask("wait", "--timeout", "10", "--max-lease-age", "20")[0] == 0
    timer.join()
