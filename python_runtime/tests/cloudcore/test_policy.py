"""What ServiceAccounts of edge pods may do reaches their nodes, and follows every change."""

from __future__ import annotations

import base64
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.cloudcore.cloud import Api, Cloud, about, eventually, running
from tests.cloudcore.test_sessions import recorded

from edgelab.cloudcore.policycontroller.rules import Rbac, access_of, applies
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import (
    ACCESSES,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CSRS,
    NODES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
)

GATES = {"requireAuthorization": True}
PATH = "default/serviceaccountaccess/robot"
SERVING = "kubernetes.io/kubelet-serving"
GET_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
LIST_NODES = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path, gates=GATES) as found:
        yield found


def subject(name: str = "robot", namespace: str = "default") -> Obj:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def reference(kind: str, name: str) -> Obj:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}


async def make(api: Api, resource: Resource, name: str, **rest: Any) -> Obj:
    namespace = "default" if resource.namespaced else None
    return await api.create(resource, {"metadata": {"name": name}, **rest}, namespace)


async def furnish(cloud: Cloud) -> None:
    """Account `robot` with a role, and two edge nodes; no pod yet."""
    await cloud.node("edge1")
    await cloud.node("edge2")
    await make(cloud.api, SERVICE_ACCOUNTS, "robot")
    await make(cloud.api, ROLES, "reader", rules=[GET_PODS])
    bound = {"roleRef": reference("Role", "reader"), "subjects": [subject()]}
    await make(cloud.api, ROLE_BINDINGS, "reads", **bound)


async def robot_pod(cloud: Cloud, name: str, node: str) -> Obj:
    return await cloud.pod(name, node, serviceAccountName="robot")


def nodes_of(cloud: Cloud) -> list[str]:
    found = cloud.api.all(ACCESSES)
    return found[0].get("status", {}).get("nodeList", []) if found else []


async def test_the_access_of_a_pod_s_account_reaches_its_node_and_is_acknowledged(cloud: Cloud) -> None:
    await furnish(cloud)
    edge = await cloud.join()
    await robot_pod(cloud, "a", "edge1")
    message = await edge.pushed(PATH, "insert")
    assert (message.route.source, message.route.group) == ("policycontroller", "resource")
    access = message.object()
    assert (access["kind"], access["apiVersion"]) == ("ServiceAccountAccess", "policy.kubeedge.io/v1alpha1")
    assert access["status"] == {}
    spec = access["spec"]
    account = cloud.api.one(SERVICE_ACCOUNTS, "robot")
    assert spec["serviceAccountUid"] == account["metadata"]["uid"]
    assert spec["serviceAccount"]["metadata"] == {"name": "robot", "namespace": "default"}
    [granted] = spec["accessRoleBinding"]
    assert granted["roleBinding"]["metadata"] == {"name": "reads", "namespace": "default"}
    assert granted["roleBinding"]["roleRef"] == reference("Role", "reader")
    assert granted["rules"] == [GET_PODS]
    stored = cloud.api.one(ACCESSES, "robot")
    assert stored["status"]["nodeList"] == ["edge1"]
    uid, version = stored["metadata"]["uid"], message.header.resourceversion
    await eventually(lambda: recorded(cloud.api, uid) == version)
    await edge.close()


async def test_a_change_of_a_role_or_a_binding_reaches_the_node(cloud: Cloud) -> None:
    await furnish(cloud)
    edge = await cloud.join()
    await robot_pod(cloud, "a", "edge1")
    await edge.pushed(PATH, "insert")
    await cloud.api.patch(ROLES, "reader", {"rules": [GET_PODS, LIST_NODES]}, "default")
    await edge.wait(lambda m: rules_in(m) == [[GET_PODS, LIST_NODES]])
    await make(cloud.api, CLUSTER_ROLES, "wide", rules=[LIST_NODES])
    everyone = {"kind": "Group", "name": "system:serviceaccounts:default"}
    await make(
        cloud.api,
        CLUSTER_ROLE_BINDINGS,
        "wide",
        roleRef=reference("ClusterRole", "wide"),
        subjects=[everyone],
    )
    await edge.wait(lambda m: rules_in(m) == [[GET_PODS, LIST_NODES], [LIST_NODES]])
    await cloud.api.delete(ROLE_BINDINGS, "reads", "default")
    await edge.wait(lambda m: rules_in(m) == [[LIST_NODES]])
    await edge.close()


def rules_in(message: Any) -> list[Any]:
    if about(message) != ("update", PATH):
        return []
    spec = message.object()["spec"]
    both = [*spec.get("accessRoleBinding", []), *spec.get("accessClusterRoleBinding", [])]
    return [granted["rules"] for granted in both]


async def test_a_node_that_runs_no_such_pod_any_more_loses_it_and_the_last_one_ends_it(cloud: Cloud) -> None:
    await furnish(cloud)
    one, two = await cloud.join("edge1"), await cloud.join("edge2")
    await robot_pod(cloud, "a", "edge1")
    await robot_pod(cloud, "b", "edge2")
    await one.pushed(PATH, "insert")
    await two.pushed(PATH, "insert")
    await eventually(lambda: nodes_of(cloud) == ["edge1", "edge2"])
    uid = cloud.api.one(ACCESSES, "robot")["metadata"]["uid"]
    await cloud.api.delete(PODS, "b", "default", options={"gracePeriodSeconds": 0})
    await two.pushed(PATH, "delete")
    await eventually(lambda: nodes_of(cloud) == ["edge1"])
    assert not [m for m in one.received if about(m) == ("delete", PATH)]
    await cloud.api.delete(PODS, "a", "default", options={"gracePeriodSeconds": 0})
    await one.pushed(PATH, "delete")
    assert not cloud.api.all(ACCESSES)
    await eventually(lambda: recorded(cloud.api, uid) is None)
    await one.close()
    await two.close()


async def test_what_changes_while_the_node_is_away_is_there_when_it_is_back(cloud: Cloud) -> None:
    await furnish(cloud)
    edge = await cloud.join()
    await robot_pod(cloud, "a", "edge1")
    await edge.pushed(PATH, "insert")
    uid = cloud.api.one(ACCESSES, "robot")["metadata"]["uid"]
    await eventually(lambda: recorded(cloud.api, uid) not in (None, "0"))
    await edge.close()
    await cloud.api.patch(ROLES, "reader", {"rules": [LIST_NODES]}, "default")
    back = await cloud.dial()
    message = await back.wait(lambda m: rules_in(m) == [[LIST_NODES]], 4)
    assert message.object()["status"] == {}
    await back.close()


async def test_accounts_of_pods_in_the_cloud_and_missing_accounts_have_no_access(cloud: Cloud) -> None:
    await furnish(cloud)
    await cloud.api.create(NODES, {"metadata": {"name": "cloud1"}})
    edge = await cloud.join()
    await robot_pod(cloud, "a", "cloud1")
    await cloud.pod("ghostly", "edge1", serviceAccountName="ghost")
    await robot_pod(cloud, "b", "edge1")
    await edge.pushed(PATH, "insert")
    assert nodes_of(cloud) == ["edge1"]
    assert len(cloud.api.all(ACCESSES)) == 1
    await cloud.api.delete(SERVICE_ACCOUNTS, "robot", "default")
    await edge.pushed(PATH, "delete")
    assert not cloud.api.all(ACCESSES)
    await edge.close()


async def test_each_of_two_cloudcores_serves_its_own_nodes(tmp_path: Path) -> None:
    api = Api()
    async with (
        running(tmp_path, api, replica="a", gates=GATES) as a,
        running(tmp_path, api, replica="b", gates=GATES) as b,
    ):
        await furnish(a)
        one, two = await a.join("edge1"), await b.join("edge2")
        await robot_pod(a, "a", "edge1")
        await robot_pod(a, "b", "edge2")
        for edge in (one, two):
            await edge.wait(lambda m: about(m)[1] == PATH and about(m)[0] != "delete")
        await eventually(lambda: nodes_of(a) == ["edge1", "edge2"])
        await api.delete(PODS, "b", "default", options={"gracePeriodSeconds": 0})
        await two.pushed(PATH, "delete", 4)
        await eventually(lambda: nodes_of(a) == ["edge1"])
        assert not [m for m in one.received if about(m) == ("delete", PATH)]
        await one.close()
        await two.close()


async def test_a_node_whose_delete_was_never_sent_loses_it_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, gates=GATES) as cloud:
        await furnish(cloud)
        one, two = await cloud.join("edge1"), await cloud.join("edge2")
        await robot_pod(cloud, "a", "edge1")
        await robot_pod(cloud, "b", "edge2")
        await two.wait(lambda m: about(m)[1] == PATH)
        uid = cloud.api.one(ACCESSES, "robot")["metadata"]["uid"]
        await eventually(lambda: recorded(cloud.api, uid, "edge2") not in (None, "0"))
        await one.close()
        await two.close()
        api = cloud.api
    await api.delete(PODS, "b", "default", options={"gracePeriodSeconds": 0})
    status = {"status": {"nodeList": ["edge1"]}}
    await api.patch(ACCESSES, "robot", status, "default", subresource="status")
    async with running(tmp_path, api, gates=GATES) as cloud:
        back = await cloud.dial("edge2")
        await back.pushed(PATH, "delete", 4)
        await eventually(lambda: recorded(api, uid, "edge2") is None)
        await back.close()


async def test_an_error_of_the_api_only_delays(cloud: Cloud) -> None:
    await furnish(cloud)
    edge = await cloud.join()
    cloud.api.broken = "serviceaccountaccesses"
    await robot_pod(cloud, "a", "edge1")
    await edge.pushed("default/pod/a", "insert")
    cloud.api.broken = ""
    await edge.pushed(PATH, "insert")
    await edge.close()


def test_subjects_are_read_as_kubernetes_reads_them() -> None:
    def apply(subject: Obj, where: str = "default") -> bool:
        return applies([subject], "default", "robot", binding_namespace=where)

    assert apply({"kind": "ServiceAccount", "name": "robot"})
    assert not apply({"kind": "ServiceAccount", "name": "robot"}, where="")
    assert not apply({"kind": "ServiceAccount", "name": "robot", "namespace": "other"})
    assert apply({"kind": "User", "name": "system:serviceaccount:default:robot"})
    for group in ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"):
        assert apply({"kind": "Group", "name": group})
    assert not apply({"kind": "Group", "name": "system:serviceaccounts:other"})
    assert not apply({"kind": "Robot", "name": "robot"})


def test_a_binding_whose_role_is_missing_takes_nothing_from_the_others() -> None:
    def binding(name: str, kind: str) -> Obj:
        metadata = {"name": name, "namespace": "default", "uid": "u"}
        return {"metadata": metadata, "roleRef": reference(kind, name), "subjects": [subject()]}

    bindings = {
        ("default", n): binding(n, k) for n, k in (("a", "Role"), ("b", "Role"), ("c", "ClusterRole"))
    }
    roles = {("default", "b"): {"rules": [GET_PODS]}, ("other", "a"): {"rules": [LIST_NODES]}}
    rbac = Rbac(roles, {("", "c"): {"rules": [LIST_NODES]}}, bindings, {})
    spec = access_of({"metadata": {"name": "robot", "namespace": "default", "uid": "u"}}, rbac)
    names = [granted["roleBinding"]["metadata"]["name"] for granted in spec["accessRoleBinding"]]
    assert names == ["b", "c"]
    assert "accessClusterRoleBinding" not in spec


def csr(node: str, signer: str = SERVING, username: str = "") -> Obj:
    name = [
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "system:nodes"),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, f"system:node:{node}"),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(name))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(node)]), critical=False)
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    pem = base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()
    usages = ["digital signature", "server auth"]
    spec = {"signerName": signer, "request": pem, "usages": usages, "username": username}
    return {"metadata": {"name": f"csr-{node}"}, "spec": spec}


def approved(cloud: Cloud, name: str) -> bool:
    conditions = cloud.api.one(CSRS, name).get("status", {}).get("conditions", [])
    return [condition["type"] for condition in conditions] == ["Approved"]


async def test_a_serving_certificate_that_a_node_asks_for_is_approved(cloud: Cloud) -> None:
    await furnish(cloud)
    edge = await cloud.join()
    answer = await edge.ask("default/certificatesigningrequest/csr-edge1", "insert", csr("edge1"))
    assert answer.object()["Err"] is None
    await eventually(lambda: approved(cloud, "csr-edge1"))
    await cloud.api.create(CSRS, csr("edge2", username="system:node:edge2"))
    await eventually(lambda: approved(cloud, "csr-edge2"))
    await edge.close()


@pytest.mark.parametrize(
    "request_",
    [
        csr("edge2", username="somebody"),
        csr("ghost", username="system:node:ghost"),
        csr("edge2", "kubernetes.io/kube-apiserver-client-kubelet", "system:node:edge2"),
        {
            "metadata": {"name": "x"},
            "spec": {"signerName": "kubernetes.io/kubelet-serving", "request": "eA=="},
        },
    ],
    ids=["asked by another", "no such node", "another signer", "unreadable"],
)
async def test_other_requests_are_left_to_others(cloud: Cloud, request_: Obj) -> None:
    await furnish(cloud)
    await cloud.api.create(CSRS, request_)
    await cloud.api.create(CSRS, csr("edge1", username="system:node:edge1"))
    await eventually(lambda: approved(cloud, "csr-edge1"))
    assert not approved(cloud, request_["metadata"]["name"])


async def test_without_the_gate_nothing_of_it_runs_or_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if ".policycontroller" in name]:
        monkeypatch.delitem(sys.modules, name)
    async with running(tmp_path) as cloud:
        await furnish(cloud)
        edge = await cloud.join()
        await robot_pod(cloud, "a", "edge1")
        await edge.pushed("default/pod/a", "insert")
        assert not cloud.api.all(ACCESSES)
        assert not [name for name in sys.modules if ".policycontroller" in name]
        await edge.close()
