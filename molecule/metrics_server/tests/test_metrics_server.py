"""metrics-server as the control plane sees it: arguments in place, and no pod of it on the edge node."""

from __future__ import annotations

import json
from collections.abc import Callable

testinfra_hosts = ["ansible://cloud"]


def test_arguments_image_and_tolerations(kubectl: Callable[..., str]) -> None:
    found = json.loads(kubectl("-n", "kube-system", "get", "deployment", "metrics-server", "-o", "json"))
    spec = found["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["image"] == "mirror.example.com/k8s/metrics-server/metrics-server:stand-in"
    assert container["args"] == [
        "--secure-port=10250",
        "--kubelet-preferred-address-types=Hostname,InternalIP",
        "--metric-resolution=30s",
        "--kubelet-insecure-tls",
    ]
    assert [one["key"] for one in spec["tolerations"]] == ["node-role.kubernetes.io/control-plane"]
    assert found["status"]["availableReplicas"] == 1


def test_many_of_them_all_stay_off_the_edge_node(kubectl: Callable[..., str]) -> None:
    """The scheduler spreads pods: with free choice some of six would be there."""
    where = ("-n", "kube-system")
    kubectl(*where, "scale", "deployment", "metrics-server", "--replicas=6")
    try:
        kubectl(*where, "rollout", "status", "deployment", "metrics-server", "--timeout=60s")
        pods = json.loads(kubectl(*where, "get", "pods", "-l", "k8s-app=metrics-server", "-o", "json"))[
            "items"
        ]
        assert [pod["spec"]["nodeName"] for pod in pods] == ["cloud"] * 6
    finally:
        kubectl(*where, "scale", "deployment", "metrics-server", "--replicas=1")


def test_the_api_service_is_the_one_of_the_manifest(kubectl: Callable[..., str]) -> None:
    name = "apiservices.v1.apiregistration.k8s.io/v1beta1.metrics.k8s.io"
    found = json.loads(kubectl("get", name, "-o", "json"))
    assert found["spec"]["service"] == {"name": "metrics-server", "namespace": "kube-system"}
    assert found["status"]["conditions"][0]["status"] == "True"
