"""The Kubernetes API on the edge host, by curl with an account's token, and `keadm ctl`: offline too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.lab import Lab, eventually

URL = "https://127.0.0.1:10550/api/v1/namespaces/default"
PLACE = "/tmp/edgelab-api"
CURL = ("curl", "-sS", "--max-time", "30", "--cacert", "/etc/kubeedge/pki/metaserver/ca.crt")
TOKEN = ("-H", f"@{PLACE}/header")
GATE = {"requireAuthorization": True}
CLOUD = {"featureGates": GATE, "modules": {"dynamicController": {"enable": True}}}
EDGE = {"featureGates": GATE, "modules": {"metaManager": {"metaServer": {"enable": True}}}}
OBJECTS = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: counter}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: counter}
rules:
- {apiGroups: [""], resources: [configmaps], verbs: [get, list, watch, create, patch]}
- {apiGroups: [""], resources: [pods], verbs: [get, list, create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: counter}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: counter}
subjects: [{kind: ServiceAccount, name: counter, namespace: default}]
---
apiVersion: v1
kind: Pod
metadata: {name: counter}
spec:
  serviceAccountName: counter
  nodeName: edge1
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: edgelab.local/busybox:1.35
    command: [sh, -c, "echo begins; exec sleep 100000"]
"""
NOTED = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "noted"}, "data": {"count": "1"}}


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[Lab]:
    """The lab with a MetaServer that requires authorization, and the token of a pod's account on edge1."""
    with lab.configured(cloudcore=CLOUD, edgecore=EDGE), lab.objects(OBJECTS):
        uid = lab.get("pod", "counter")["metadata"]["uid"]
        token = f"$(cat /var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~projected/*/token)"
        files = f'printf %s "{token}" > token; echo "Authorization: Bearer {token}" > header'
        try:
            lab.host("edge1", "sh", "-ec", f"umask 077; mkdir {PLACE}; cd {PLACE}; {files}")
            eventually(lambda: ask(lab, "/configmaps")[0] == 200, "MetaServer serves the account", 60)
            yield lab
        finally:
            lab.kubectl("delete", "configmap", "noted", "--ignore-not-found")
            lab.host("edge1", "rm", "-rf", PLACE)


def ask(lab: Lab, path: str, *options: str, who: tuple[str, ...] = TOKEN) -> tuple[int, dict[str, Any]]:
    """The status and the object that curl gets on the edge host."""
    said = lab.host("edge1", *CURL, *who, "-w", "\n%{http_code}", *options, URL + path)
    body, _, status = said.rpartition("\n")
    return int(status), json.loads(body)


def write(lab: Lab, method: str, path: str, body: dict[str, Any], content: str) -> tuple[int, dict[str, Any]]:
    """A request with a body."""
    return ask(lab, path, "-X", method, "-H", f"Content-Type: {content}", "-d", json.dumps(body))


def count(lab: Lab, number: str) -> tuple[int, dict[str, Any]]:
    """Patch the ConfigMap."""
    return write(
        lab, "PATCH", "/configmaps/noted", {"data": {"count": number}}, "application/merge-patch+json"
    )


def ctl(lab: Lab, *words: str) -> str:
    """What `keadm ctl` prints on the edge host."""
    return lab.host("edge1", "keadm", "ctl", *words)


def test_an_account_may_what_its_role_says(api: Lab) -> None:
    assert ask(api, "/configmaps", who=())[0] == 403
    assert ask(api, "/secrets")[0] == 403
    status, found = ask(api, "/configmaps")
    assert (status, found["kind"]) == (200, "ConfigMapList")


def test_objects_are_made_changed_and_watched(api: Lab) -> None:
    watch = f"{URL}/configmaps?watch=1&fieldSelector=metadata.name%3Dnoted"
    with api.started("scripts/lab", "exec", "edge1", "--", *CURL, "-N", *TOKEN, watch) as watching:
        assert watching.stdout is not None
        assert write(api, "POST", "/configmaps", NOTED, "application/json")[0] == 201
        seen = [json.loads(watching.stdout.readline())]
        assert count(api, "2")[0] == 200
        seen += [json.loads(watching.stdout.readline())]
    assert [(one["type"], one["object"]["data"]["count"]) for one in seen] == [
        ("ADDED", "1"),
        ("MODIFIED", "2"),
    ]
    assert api.get("configmap", "noted")["data"] == {"count": "2"}
    status, found = ask(api, "/configmaps/noted")
    assert (status, found["data"]) == (200, {"count": "2"})


def test_without_the_cloud_what_is_stored_is_read_and_nothing_is_written(api: Lab) -> None:
    with api.unplugged("edge1"):
        status, found = ask(api, "/configmaps/noted")
        assert (status, found["data"]) == (200, {"count": "2"})
        names = [one["metadata"]["name"] for one in ask(api, "/configmaps")[1]["items"]]
        assert "noted" in names
        status, found = count(api, "3")
        assert (status, found["reason"]) == (503, "ServiceUnavailable")
    assert eventually(lambda: count(api, "4")[0] == 200, "a change with the cloud", 30)


def test_without_the_cloud_pods_are_listed_read_entered_and_restarted(api: Lab) -> None:
    token = ("--token-file", f"{PLACE}/token")
    with api.unplugged("edge1"):
        assert "counter" in ctl(api, "get", "pod", *token)
        assert ctl(api, "logs", "counter") == "begins\n"
        assert ctl(api, "exec", "counter", "--", "echo", "hello") == "hello\n"
        assert "restart successful" in ctl(api, "restart", "pod", "counter", *token)
        eventually(lambda: ctl(api, "logs", "counter", "-p") == "begins\n", "the container before", 30)
    [state] = eventually(lambda: restarted(api), "the restart in the API", 30)
    assert state["restartCount"] == 1


def restarted(lab: Lab) -> list[dict[str, Any]]:
    """The states of containers that were restarted, as the cloud knows them."""
    states: list[dict[str, Any]] = lab.get("pod", "counter")["status"]["containerStatuses"]
    return [state for state in states if state["restartCount"]]
