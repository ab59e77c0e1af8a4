"""CloudCore as a Deployment on a third host: what edge1 joined, and what becomes of a lost pod."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

testinfra_hosts = ["ansible://edge1"]
Kubectl = Callable[..., str]
Machine = Callable[[str], Host]
Eventually = Callable[..., Any]
SERVICE = Path(__file__).resolve().parents[1] / "service.yml"
DEPLOYMENT = Path(__file__).resolve().parents[3] / "playbooks" / "cloud_deployment.yml"
NAMESPACE = ("-n", "kubeedge")
LABELS = ("-l", "kubeedge=cloudcore")
ACCOUNT = "system:serviceaccount:kubeedge:cloudcore"


@pytest.fixture
def address(machine: Machine) -> str:
    """Of the third host."""
    return str(machine("worker1").ansible.get_variables()["edgelab_node_ip"])


def pod(kubectl: Kubectl) -> dict[str, Any]:
    """CloudCore's one pod, beside one that is ending."""
    items = json.loads(kubectl(*NAMESPACE, "get", "pods", *LABELS, "-o", "json"))["items"]
    [found] = [item for item in items if "deletionTimestamp" not in item["metadata"]]
    return dict(found)


def is_ready(obj: dict[str, Any]) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def peers(host: Host, port: int) -> set[str]:
    """Where this host has connections to a port, as address:port."""
    lines = host.check_output(f"ss -Htn state established '( dport = :{port} )'").splitlines()
    return {line.split()[3].removeprefix("[::ffff:").replace("]:", ":") for line in lines}


def test_edge1_dials_the_third_host_at_the_ports_of_the_deployment(host: Host, address: str) -> None:
    config = yaml.safe_load(host.file("/etc/kubeedge/config/edgecore.yaml").content_string)
    hub = config["modules"]["edgeHub"]
    assert hub["websocket"]["server"] == f"{address}:30000"
    assert hub["httpServer"] == f"https://{address}:30002"
    assert peers(host, 30000) == {f"{address}:30000"}
    assert peers(host, 10000) == set()


def test_edge1_is_ready_and_runs_nginx(host: Host, kubectl: Kubectl) -> None:
    assert is_ready(json.loads(kubectl("get", "node", "edge1", "-o", "json")))
    [web] = json.loads(kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    assert (web["spec"]["nodeName"], web["status"]["phase"]) == ("edge1", "Running")
    assert "Welcome to nginx!" in host.check_output("curl -sS http://127.0.0.1:8080/")


def test_the_pod_runs_on_the_third_host_as_nobody_in_particular(machine: Machine, kubectl: Kubectl) -> None:
    found = pod(kubectl)
    assert found["spec"]["nodeName"] == "worker1"
    assert is_ready(found)
    [status] = found["status"]["containerStatuses"]
    container = status["containerID"].removeprefix("containerd://")
    worker = machine("worker1")
    lines = worker.check_output("ctr -n k8s.io tasks list").splitlines()
    [pid] = [line.split()[1] for line in lines if line.startswith(container)]
    assert worker.check_output(f"stat -c %u /proc/{pid}") == "65532"
    assert not worker.service("cloudcore").is_running


def test_the_workers_own_edgecore_keeps_to_the_service_in_the_cloud(machine: Machine) -> None:
    cloud = machine("cloud")
    assert cloud.service("cloudcore").is_running
    own = cloud.ansible.get_variables()["edgelab_node_ip"]
    assert peers(machine("worker1"), 10000) == {f"{own}:10000"}


RULES = """
apiVersion: v1
kind: List
items:
- apiVersion: rules.kubeedge.io/v1
  kind: RuleEndpoint
  metadata: {name: rest}
  spec: {ruleEndpointType: rest}
- apiVersion: rules.kubeedge.io/v1
  kind: RuleEndpoint
  metadata: {name: eventbus}
  spec: {ruleEndpointType: eventbus}
- apiVersion: rules.kubeedge.io/v1
  kind: Rule
  metadata: {name: down, annotations: {edgelab.io/spool: "true"}}
  spec: {source: rest, sourceResource: {path: /down}, target: eventbus, targetResource: {topic: down}}
"""


def test_both_routers_reach_edge1_and_keep_messages_for_it(
    host: Host, kubectl: Kubectl, machine: Machine, address: str, eventually: Eventually
) -> None:
    kubectl("apply", "-f", "-", stdin=RULES)
    cloud = machine("cloud")
    ask = "curl -sS -w ' %{http_code}' -d "
    pod_s, service_s = (
        f"http://{address}:30943/edge1/default/down",
        "http://127.0.0.1:9443/edge1/default/down",
    )
    delivered = "message delivered 200"
    for url in (pod_s, service_s):
        eventually(lambda url=url: cloud.check_output(f"{ask} x {url}") == delivered, url, 30)
    lease = json.loads(kubectl(*NAMESPACE, "get", "lease", "cloudcore-node-edge1", "-o", "json"))
    holder = f"cloudcore-replica-{lease['spec']['holderIdentity']}"
    told = json.loads(kubectl(*NAMESPACE, "get", "lease", holder, "-o", "json"))["metadata"]["annotations"]
    assert told["edgelab.io/router"] == f"http://{address}:30943"
    host.check_output("systemctl stop edgecore")
    try:
        kept = "message kept until the node connects 202"
        eventually(lambda: cloud.check_output(f"{ask} kept {service_s}") == kept, "202", 30)
        host.check_output(
            "systemd-run -u hears sh -c 'mosquitto_sub -h 127.0.0.1 -C 1 -W 90 -t down > /run/heard'"
        )
        eventually(lambda: "mosquitto_sub" in host.check_output("ss -Htnp dport = :1883"), "a client", 30)
    finally:
        host.check_output("systemctl start edgecore")
    eventually(lambda: host.file("/run/heard").content_string == "kept\n", "what was kept", 60)


@pytest.mark.parametrize(
    ("verb", "attributes", "allowed"),
    [
        ("update", {"resource": "secrets", "namespace": "kubeedge"}, True),
        ("update", {"resource": "secrets", "namespace": "default"}, False),
        ("get", {"resource": "secrets", "namespace": "default"}, True),
        ("create", {"resource": "pods", "subresource": "eviction", "namespace": "default"}, False),
        ("create", {"resource": "deployments", "group": "apps", "namespace": "default"}, False),
        ("delete", {"resource": "customresourcedefinitions", "group": "apiextensions.k8s.io"}, False),
        ("impersonate", {"resource": "users"}, False),
    ],
)
def test_its_account_may_do_what_it_needs_and_no_more(
    kubectl: Kubectl, verb: str, attributes: dict[str, str], allowed: bool
) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "resourceAttributes": {"verb": verb, **attributes}},
    }
    answer = json.loads(kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review)))
    assert answer["status"]["allowed"] is allowed, answer["status"]


def test_a_pod_that_is_deleted_comes_back_and_edge1_with_it(
    host: Host, kubectl: Kubectl, address: str, eventually: Eventually
) -> None:
    before = pod(kubectl)["metadata"]["uid"]
    kubectl(*NAMESPACE, "delete", "pod", *LABELS, "--wait=true", "--timeout=60s")
    eventually(
        lambda: pod(kubectl)["metadata"]["uid"] != before and is_ready(pod(kubectl)), "another pod", 120
    )
    eventually(lambda: peers(host, 30000) == {f"{address}:30000"}, "edge1's connection", 60)
    kubectl("create", "configmap", "after", "--from-literal=a=b")
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "after"},
        "spec": {
            "nodeName": "edge1",
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "c",
                    "image": "edgelab.local/busybox:1.35",
                    "command": ["busybox", "sleep", "1000"],
                    "envFrom": [{"configMapRef": {"name": "after"}}],
                }
            ],
        },
    }
    kubectl("apply", "-f", "-", stdin=json.dumps(probe))
    kubectl("wait", "--for=condition=Ready", "pod/after", "--timeout=60s")
    kubectl("delete", "pod/after", "configmap/after", "--wait=true", "--timeout=60s")


def test_another_configuration_rolls_the_deployment(
    play: Callable[..., tuple[int, str]], kubectl: Kubectl, host: Host, address: str, eventually: Eventually
) -> None:
    before = pod(kubectl)["metadata"]
    variables = {"cloudcore_mode": "deployment", "cloudcore_settings": {"edgelab": {"window": 16}}}
    status, text = play(DEPLOYMENT, variables, "--limit", "cloud")
    assert status == 0, text
    assert "changed=2" in text, text
    after = pod(kubectl)["metadata"]
    assert after["uid"] != before["uid"]
    assert after["annotations"] != before["annotations"]
    status, text = play(DEPLOYMENT, variables, "--limit", "cloud")
    assert (status, "changed=0" in text) == (0, True), text
    eventually(lambda: peers(host, 30000) == {f"{address}:30000"}, "edge1's connection", 60)


def test_a_service_alone_takes_the_deployment_away(
    play: Callable[..., tuple[int, str]], kubectl: Kubectl, machine: Machine
) -> None:
    status, text = play(SERVICE, {"cloudcore_mode": "service"})
    assert status == 0, text
    left = kubectl(*NAMESPACE, "get", "deployments,services,configmaps,serviceaccounts", "-o", "name")
    assert "cloudcore" not in left
    assert "clusterrole.rbac.authorization.k8s.io/cloudcore" not in kubectl(
        "get", "clusterroles", "-o", "name"
    )
    assert machine("cloud").service("cloudcore").is_running
    status, text = play(SERVICE, {"cloudcore_mode": "service"})
    assert (status, "changed=0" in text) == (0, True), text
