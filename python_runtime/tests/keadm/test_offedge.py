"""`keadm off-edge`, `apply --off-edge` and `rollout` against an API server on a socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.keadm.api_server import ApiServer, Obj
from tests.keadm.conftest import Keadm

from edgelab.keadm import offedging
from edgelab.objects.placement import EDGE_LABEL, Reach, reach

APPS = "/apis/apps/v1/namespaces/kube-system"
PODS = "/api/v1/namespaces/kube-system/pods"
EVERYWHERE = [{"operator": "Exists"}]


@pytest.fixture
def ask(keadm: Keadm, kube_config: Path) -> Any:
    return lambda *words, **more: keadm(*words, "--kube-config", kube_config, **more)


def put(
    server: ApiServer, plural: str, name: str, owner: str = "", status: Obj | None = None, **spec: Any
) -> str:
    kinds = {"daemonsets": "DaemonSet", "deployments": "Deployment", "replicasets": "ReplicaSet"}
    path = f"{APPS}/{plural}/{name}"
    metadata = {"name": name, "namespace": "kube-system", "uid": name, "generation": 1}
    if owner:
        metadata["ownerReferences"] = [{"kind": "Deployment", "uid": owner, "controller": True}]
    body = {
        "kind": kinds[plural],
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"spec": spec}},
        "status": status or {},
    }
    server.store("PUT", path, body)
    return path


def put_pod(
    server: ApiServer, name: str, owner: str, node: str, status: Obj | None = None, **more: Any
) -> str:
    owners = [{"kind": "?", "uid": owner, "controller": True}]
    metadata = {"name": name, "namespace": "kube-system", "ownerReferences": owners, **more}
    pod = {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}, "status": status or {}}
    server.store("PUT", f"{PODS}/{name}", pod)
    return f"{PODS}/{name}"


@pytest.fixture(autouse=True)
def nodes(server: ApiServer) -> None:
    for name, labels in (("edge1", {EDGE_LABEL: ""}), ("cloud", {})):
        node = {"kind": "Node", "metadata": {"name": name, "labels": labels}}
        server.store("PUT", f"/api/v1/nodes/{name}", node)


def test_all_daemon_sets_and_the_named_deployments_are_changed_once(ask: Any, server: ApiServer) -> None:
    proxy = put(server, "daemonsets", "kube-proxy", tolerations=EVERYWHERE)
    dns = put(server, "deployments", "coredns")
    web = put(server, "deployments", "web")
    call = ("off-edge", "set", "--deployment", "kube-system/core*")
    told = ask(*call, "--check")[1]
    assert told["changed"] is True
    assert reach(server.objects[proxy]) is Reach.open
    told = ask(*call)[1]
    assert {one["name"]: one["changed"] for one in told["workloads"]} == {"kube-proxy": True, "coredns": True}
    assert (told["workloads"][0]["before"], told["workloads"][0]["edge"]) == ({}, "off")
    assert reach(server.objects[proxy]) is reach(server.objects[dns]) is Reach.off
    assert reach(server.objects[web]) is Reach.open
    assert server.objects[proxy]["spec"]["template"]["spec"]["tolerations"] == EVERYWHERE
    writes = len(server.writes)
    assert ask(*call)[1]["changed"] is False
    assert len(server.writes) == writes


def test_what_is_made_for_edge_nodes_or_allowed_there_is_left_alone(ask: Any, server: ApiServer) -> None:
    put(server, "daemonsets", "edge-agent", nodeSelector={EDGE_LABEL: ""})
    put(server, "daemonsets", "everywhere")
    told = ask("off-edge", "set", "--allow", "kube-system/everywhere")[1]
    assert told["changed"] is False
    assert [(one["name"], one["edge"]) for one in told["workloads"]] == [("edge-agent", "only")]


def test_a_change_by_somebody_else_in_between_is_not_lost(
    ask: Any, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(server, "daemonsets", "kube-proxy")
    real = offedging._patch

    def meddle(wanted: Obj) -> Obj:
        monkeypatch.setattr(offedging, "_patch", real)
        theirs = json.loads(json.dumps(server.objects[path]))
        theirs["spec"]["template"]["spec"]["affinity"] = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "theirs", "operator": "Exists"}]}]
                }
            }
        }
        server.store("PUT", path, theirs)
        return real(wanted)

    monkeypatch.setattr(offedging, "_patch", meddle)
    assert ask("off-edge", "set")[1]["changed"] is True
    affinity = server.objects[path]["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [e["key"] for e in term["matchExpressions"]] == ["theirs", EDGE_LABEL]


def test_verify_names_pods_on_edge_nodes_by_their_workload(ask: Any, server: ApiServer) -> None:
    put(server, "daemonsets", "kube-proxy")
    put(server, "deployments", "coredns")
    put(server, "replicasets", "coredns-1", owner="coredns")
    put_pod(server, "kube-proxy-a", "kube-proxy", "edge1", deletionTimestamp="2026-01-01T00:00:00Z")
    put_pod(server, "kube-proxy-b", "kube-proxy", "cloud")
    put_pod(server, "coredns-1-a", "coredns-1", "edge1")
    put_pod(server, "over", "kube-proxy", "edge1", status={"phase": "Failed"})
    call = ("off-edge", "verify", "--deployment", "kube-system/coredns", "--timeout", "0")
    status, told = ask(*call)
    assert status == 1
    assert told["error"].startswith("2 pods on edge nodes: DaemonSet kube-system/kube-proxy: ")
    for words in (
        "kube-proxy-a on edge1 (its deletion waits for the node)",
        "kube-system/coredns-1-a on edge1",
    ):
        assert words in told["error"]
    assert "kube-proxy-b" not in told["error"]
    assert told["open"] == ["kube-system/kube-proxy"]


def test_a_pod_that_is_meant_for_an_edge_node_counts(ask: Any, server: ApiServer) -> None:
    """DaemonSets name the node of each pod; the scheduler binds it later, or never on a full node."""
    put(server, "daemonsets", "kube-proxy")
    path = put_pod(server, "kube-proxy-a", "kube-proxy", "")
    field = {"key": "metadata.name", "operator": "In", "values": ["edge1"]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    server.objects[path]["spec"] = {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    }
    status, told = ask("off-edge", "verify", "--timeout", "0")
    assert status == 1
    assert "kube-system/kube-proxy-a on edge1" in told["error"]


def test_verify_is_content_with_what_belongs_there(ask: Any, server: ApiServer) -> None:
    put(server, "daemonsets", "edge-agent", nodeSelector={EDGE_LABEL: ""})
    put_pod(server, "a", "edge-agent", "edge1")
    put(server, "daemonsets", "allowed")
    put_pod(server, "b", "allowed", "edge1")
    put(server, "deployments", "web")
    put_pod(server, "c", "web", "edge1")
    status, told = ask("off-edge", "verify", "--allow", "*/allowed", "--timeout", "0")
    assert (status, told["nodes"], told["open"]) == (0, ["edge1"], [])


def test_a_pattern_without_a_namespace_is_refused(ask: Any) -> None:
    status, told = ask("off-edge", "set", "--daemonset", "kube-proxy")
    assert status == 1
    assert "'kube-proxy': expected namespace/name" in told["error"]


def test_apply_keeps_what_it_applies_off_edge_nodes(ask: Any, server: ApiServer) -> None:
    spec = {"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}
    web = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    call = ("apply", "--off-edge", "-f", "-")
    assert ask(*call, stdin=json.dumps(web))[1]["changed"] is True
    assert reach(server.objects["/apis/apps/v1/namespaces/default/deployments/web"]) is Reach.off
    assert ask(*call, stdin=json.dumps(web))[1]["changed"] is False


DONE = {
    "observedGeneration": 1,
    "desiredNumberScheduled": 1,
    "updatedNumberScheduled": 1,
    "numberAvailable": 1,
}


def test_rollout_is_content_with_what_runs(ask: Any, server: ApiServer) -> None:
    put(server, "daemonsets", "agent", status=DONE)
    put(
        server,
        "deployments",
        "web",
        status={"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    )
    put_api_service(server, "True")
    status, told = ask(
        *("rollout", "--daemonset", "kube-system/agent", "--deployment", "kube-system/web"),
        *("--api-service", "v1beta1.metrics.k8s.io"),
    )
    assert status == 0
    assert [one["ready"] for one in told["objects"]] == [True] * 3


def put_api_service(server: ApiServer, status: str) -> None:
    condition = {
        "type": "Available",
        "status": status,
        "reason": "FailedDiscoveryCheck",
        "message": "no route",
    }
    path = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
    body = {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "status": {"conditions": [condition]}}
    server.store("PUT", path, body)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({**DONE, "observedGeneration": 0}, "has not seen the change yet"),
        ({**DONE, "numberAvailable": 0}, "of 1 pods 1 are up to date and 0 available"),
        ({**DONE, "updatedNumberScheduled": 0}, "0 are up to date"),
    ],
)
def test_rollout_says_how_far_a_daemon_set_is(ask: Any, server: ApiServer, status: Obj, words: str) -> None:
    put(server, "daemonsets", "agent", status=status)
    code, told = ask("rollout", "--daemonset", "kube-system/agent", "--timeout", "0")
    assert code == 1
    assert words in told["error"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {
                "containerStatuses": [
                    {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such"}}}
                ]
            },
            "container c waits, ImagePullBackOff: no such",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/2 nodes"}]},
            "pod web-a: 0/2 nodes",
        ),
    ],
)
def test_rollout_says_why_pods_do_not_run(ask: Any, server: ApiServer, status: Obj, words: str) -> None:
    put(server, "deployments", "web", status={"observedGeneration": 1, "replicas": 1})
    put_pod(server, "web-a", "web-1", "cloud", status=status, labels={"app": "web"})
    code, told = ask("rollout", "--deployment", "kube-system/web", "--timeout", "0")
    assert code == 1
    assert words in told["error"]


def test_rollout_names_what_is_missing_and_why_an_api_does_not_answer(ask: Any, server: ApiServer) -> None:
    put_api_service(server, "False")
    call = ("rollout", "--deployment", "kube-system/web", "--api-service", "v1beta1.metrics.k8s.io")
    code, told = ask(*call, "--timeout", "0")
    assert code == 1
    assert "Deployment kube-system/web: it is not there" in told["error"]
    assert "APIService v1beta1.metrics.k8s.io: FailedDiscoveryCheck: no route" in told["error"]
