"""Calico as the control plane sees it: settings in place, no pod on the edge node, and that it can be wrong.

Scheduler and controllers are EdgeSite's own; nodes, manifest and what calico-node does itself are stand-ins.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
KEADM = "/opt/edgelab/current/bin/keadm"
CONFIG = "--kube-config /etc/edgelab/admin.kubeconfig"
VERIFY = f"{KEADM} off-edge verify {CONFIG} --allow default/wanted-everywhere --output json"
SECONDS = 30
EDGE_LABEL = "node-role.kubernetes.io/edge"
Kubectl = Callable[..., str]


@pytest.fixture
def get(kubectl: Kubectl) -> Callable[..., Any]:
    return lambda *words: json.loads(kubectl("get", *words, "-o", "json"))


def pods_on(get: Callable[..., Any], node: str) -> set[str]:
    """The owners of pods on a node, by the label that all of ours have."""
    items = get("pods", "--all-namespaces", "--field-selector", f"spec.nodeName={node}")["items"]
    return {pod["metadata"]["labels"].get("app", pod["metadata"]["labels"].get("k8s-app")) for pod in items}


def wait_until(check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def test_settings_are_in_what_runs(get: Callable[..., Any]) -> None:
    spec = get("-n", "kube-system", "daemonset", "calico-node")["spec"]["template"]["spec"]
    [daemon] = spec["containers"]
    environment = {entry["name"]: entry.get("value") for entry in daemon["env"]}
    assert environment["CALICO_IPV4POOL_CIDR"] == "10.77.0.0/16"
    assert environment["CALICO_IPV4POOL_IPIP"] == "Never"
    assert environment["CALICO_IPV4POOL_VXLAN"] == "CrossSubnet"
    assert environment["IP_AUTODETECTION_METHOD"] == "kubernetes-internal-ip"
    assert daemon["image"] == "mirror.example.com/quay/calico/node:stand-in"
    data = get("-n", "kube-system", "configmap", "calico-config")["data"]
    assert data == {"calico_backend": "vxlan", "veth_mtu": "1380"}


def test_the_edge_node_has_only_what_belongs_there(get: Callable[..., Any]) -> None:
    assert pods_on(get, "edge1") == {"for-edge", "wanted-everywhere"}
    assert pods_on(get, "cloud") == {
        *("calico-node", "calico-kube-controllers", "kube-proxy", "coredns"),
        *("foreign", "wanted-everywhere"),
    }


def test_what_was_required_before_still_is(get: Callable[..., Any]) -> None:
    spec = get("-n", "kube-system", "daemonset", "kube-proxy")["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [term] = required["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": EDGE_LABEL, "operator": "DoesNotExist"}]


@pytest.mark.parametrize(("cidr", "action"), [("10.77.0.0/16", "unchanged"), ("10.78.0.0/16", "changed")])
def test_the_pool_is_the_wanted_one_and_another_would_be_noticed(host: Host, cidr: str, action: str) -> None:
    """The role's own question; it fails unless the answer is `unchanged`."""
    pool = {
        "apiVersion": "crd.projectcalico.org/v1",
        "kind": "IPPool",
        "metadata": {"name": "default-ipv4-ippool"},
        "spec": {"cidr": cidr, "ipipMode": "Never", "vxlanMode": "CrossSubnet"},
    }
    text = shlex.quote(json.dumps(pool))
    answer = host.check_output(f"echo {text} | {KEADM} apply {CONFIG} --check -f - --output json")
    assert [one["action"] for one in json.loads(answer)["objects"]] == [action]


@pytest.fixture
def stranger(get: Callable[..., Any], kubectl: Kubectl) -> Iterator[str]:
    """A DaemonSet that comes after the role has run, and a calico-node that lost its affinity."""
    labels = {"app": "stranger"}
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "c", "image": "nobody/pulls"}],
        },
    }
    daemon_set = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "stranger", "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(daemon_set))
    nothing = json.dumps({"spec": {"template": {"spec": {"affinity": None}}}})
    kubectl("-n", "kube-system", "patch", "daemonset", "calico-node", "--type=merge", "-p", nothing)
    try:
        yield "stranger"
    finally:
        kubectl("delete", "daemonset", "stranger", "--ignore-not-found")


def test_without_the_affinity_they_come_to_the_edge_node_and_are_named(
    host: Host, get: Callable[..., Any], stranger: str
) -> None:
    assert wait_until(lambda: {stranger, "calico-node"} <= pods_on(get, "edge1"))
    verified = host.run(f"{VERIFY} --timeout 0")
    assert verified.rc == 1
    answer = json.loads(verified.stdout)
    assert answer["error"].startswith("2 pods on edge nodes: ")
    assert "DaemonSet default/stranger: default/stranger-" in answer["error"]
    assert "DaemonSet kube-system/calico-node: kube-system/calico-node-" in answer["error"]
    assert answer["open"] == ["default/stranger", "kube-system/calico-node"]

    options = {"allow": ["default/wanted-everywhere"]}
    module, seen = "edgelab.kubeedge.edge_exclusion", {}
    for run in ("check", "first", "second"):
        seen[run] = host.ansible(module, json.dumps(options), check=run == "check")
    assert [seen[run]["changed"] for run in ("check", "first", "second")] == [True, True, False]
    changed = {one["name"] for one in seen["first"]["workloads"] if one["changed"]}
    assert changed == {"calico-node", stranger}

    verified = host.run(f"{VERIFY} --timeout {SECONDS}")
    assert verified.rc == 0, verified.stdout
    assert json.loads(verified.stdout)["open"] == []
    assert pods_on(get, "edge1") == {"for-edge", "wanted-everywhere"}
    assert wait_until(lambda: {stranger, "calico-node"} <= pods_on(get, "cloud"))
