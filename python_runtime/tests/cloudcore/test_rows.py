"""Every request and report that edges make of the EdgeController, a row each: what is done and answered.

The rows are those of KubeEdge's `cloud/pkg/edgecontroller/controller/upstream.go`
(docs/reference/protocol.md).
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.cloudcore.cloud import Cloud, about, eventually, running
from tests.cloudcore.test_sessions import recorded

from edgelab.kube.resources import (
    CONFIG_MAPS,
    CSRS,
    EVENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    SECRETS,
    VOLUME_ATTACHMENTS,
)
from edgelab.protocol import message as wire
from edgelab.protocol import typed
from edgelab.protocol.content.catalogue import DOWN, UNKNOWN, UP
from edgelab.protocol.message import Message

UID = "uid-of-the-pod"
"""Stands in a content for the UID of pod `web`."""
WRAPPED, OK, NONE = "ObjectResp", "OK", "no answer"
SERVING = "kubernetes.io/kubelet-serving"


class Row(NamedTuple):
    """`answer` is WRAPPED, OK, NONE, or the kind of the raw object; `write` is verb, plural and name."""

    resource: str
    operation: str
    content: Any
    answer: str
    versioned: bool = False
    acknowledged: bool = False
    write: tuple[str, str, str] | None = None


def csr(common_name: str, signer: str = SERVING) -> dict[str, Any]:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    request = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    spec = {"signerName": signer, "request": base64.b64encode(pem).decode(), "usages": ["server auth"]}
    return {"metadata": {"name": "csr-1"}, "spec": spec}


EVENT = {"metadata": {"name": "e2", "namespace": "default"}, "reason": "Started", "count": 1}
MIRROR = {
    "metadata": {"name": "static", "annotations": {"kubernetes.io/config.mirror": "x"}},
    "spec": {"nodeName": "edge1", "containers": []},
}
LEASE = {"metadata": {"name": "edge1", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "edge1"}}
DELETE = {"gracePeriodSeconds": 0, "preconditions": {"uid": UID}}
BOUND = {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": UID}
REPORT = {"UID": UID, "Name": "web", "Status": {"phase": "Running"}}
STATUS = {"UID": "", "Status": {"phase": "Running"}, "ExtendResources": {"nvidia.com/gpu": [{"name": "0"}]}}
POD_STATUS = '{"status":{"phase":"Running"}}'
NODE_STATUS = '{"status":{"phase":"Running"}}'

ROWS = {
    "node update": Row(
        "null/node/edge1",
        "update",
        {"metadata": {"labels": {"a": "b"}}},
        OK,
        True,
        False,
        ("patch", "nodes", "edge1"),
    ),
    "node get": Row("null/node/edge1", "query", None, "Node"),
    "node status patch": Row(
        "null/nodepatch/edge1", "patch", NODE_STATUS, WRAPPED, True, False, ("patch", "nodes/status", "edge1")
    ),
    "pod status patch": Row(
        "default/podpatch/web", "patch", POD_STATUS, WRAPPED, True, False, ("patch", "pods/status", "web")
    ),
    "mirror pod": Row(
        "default/pod/static", "insert", MIRROR, WRAPPED, True, False, ("create", "pods", "static")
    ),
    "pod delete": Row("default/pod/web", "delete", DELETE, OK, write=("delete", "pods", "web")),
    "pod delete by UID": Row("default/pod/web", "delete", UID, OK, write=("delete", "pods", "web")),
    "pod delete of one that is gone": Row("default/pod/gone", "delete", DELETE, OK),
    "pod status (legacy)": Row(
        "default/podstatus/web", "update", REPORT, OK, write=("patch", "pods/status", "web")
    ),
    "pod statuses (legacy)": Row(
        "default/podstatus", "update", [REPORT], OK, write=("patch", "pods/status", "web")
    ),
    "node register (legacy)": Row("default/nodestatus/edge1", "insert", {"metadata": {}, "spec": {}}, OK),
    "node status (legacy)": Row(
        "default/nodestatus/edge1", "update", STATUS, OK, True, False, ("patch", "nodes/status", "edge1")
    ),
    "config map": Row("default/configmap/cfg", "query", None, "ConfigMap", True, True),
    "secret": Row("default/secret/sec", "query", None, "Secret", True, True),
    "persistent volume": Row("null/persistentvolume/vol", "query", None, "PersistentVolume", True, True),
    "claim": Row("default/persistentvolumeclaim/claim", "query", None, "PersistentVolumeClaim", True, True),
    "volume attachment": Row("default/volumeattachment/att", "query", None, "VolumeAttachment", True, True),
    "service account token": Row(
        "default/serviceaccounttoken/default", "query", {"spec": {"boundObjectRef": BOUND}}, "TokenRequest"
    ),
    "lease insert": Row(
        "kube-node-lease/lease/edge1", "insert", LEASE, WRAPPED, write=("create", "leases", "edge1")
    ),
    "CSR insert": Row(
        "default/certificatesigningrequest/csr-1",
        "insert",
        csr("system:node:edge1"),
        WRAPPED,
        write=("create", "certificatesigningrequests", "csr-1"),
    ),
    "CSR query": Row("default/certificatesigningrequest/known", "query", None, "CertificateSigningRequest"),
    "event insert": Row("default/event/e2", "insert", EVENT, NONE, write=("create", "events", "e2")),
    "event update": Row(
        "default/event/e",
        "update",
        {**EVENT, "metadata": {"name": "e", "namespace": "default"}},
        NONE,
        write=("update", "events", "e"),
    ),
    "event patch": Row(
        "default/event/e",
        "patch",
        {"event": EVENT, "patchData": '{"count":2}'},
        NONE,
        write=("patch", "events", "e"),
    ),
    "kube CA": Row("k8s/ca.crt", "query", None, "text"),
}


async def furnish(cloud: Cloud) -> str:
    """Node edge1 with pod `web`, and one object of every kind that it may ask for; the pod's UID."""
    await cloud.node()
    pod = await cloud.pod(
        imagePullSecrets=[{"name": "sec"}],
        volumes=[
            {"name": "a", "configMap": {"name": "cfg"}},
            {"name": "b", "persistentVolumeClaim": {"claimName": "claim"}},
        ],
    )
    claim = {"namespace": "default", "name": "claim"}
    for resource, name, rest in (
        (CONFIG_MAPS, "cfg", {"data": {"a": "1"}}),
        (SECRETS, "sec", {"data": {"a": "MQ=="}}),
        (PERSISTENT_VOLUME_CLAIMS, "claim", {"spec": {"volumeName": "vol"}}),
        (PERSISTENT_VOLUMES, "vol", {"spec": {"claimRef": claim}}),
        (PERSISTENT_VOLUMES, "foreign", {"spec": {"claimRef": {**claim, "name": "other"}}}),
        (VOLUME_ATTACHMENTS, "att", {"spec": {"nodeName": "edge1"}}),
        (VOLUME_ATTACHMENTS, "foreign", {"spec": {"nodeName": "edge2"}}),
        (EVENTS, "e", {"count": 1}),
        (CSRS, "known", {"spec": {}}),
    ):
        namespace = "default" if resource.namespaced else None
        await cloud.api.create(resource, {"metadata": {"name": name}, **rest}, namespace)
    return str(pod["metadata"]["uid"])


def filled(content: Any, uid: str) -> Any:
    """The content with the pod's real UID in the place of UID."""
    if isinstance(content, dict):
        return {key: filled(value, uid) for key, value in content.items()}
    if isinstance(content, list):
        return [filled(value, uid) for value in content]
    return uid if content == UID else content


def form(answer: Message) -> str:
    content = answer.value()
    if isinstance(content, str):
        return OK if content == OK else "text"
    if set(content) == {"Object", "Err"}:
        assert content["Err"] is None, content
        assert "kind" not in content["Object"]
        return WRAPPED
    assert "ErrStatus" not in content, content
    assert content["apiVersion"]
    return str(content["kind"])


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path) as found:
        yield found


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_what_a_node_asks_for_is_done_and_answered(cloud: Cloud, row: Row) -> None:
    uid = await furnish(cloud)
    edge = await cloud.join()
    await edge.pushed("default/pod/web", "insert")
    before = len(cloud.api.calls)
    request = wire.new(
        source="edged",
        group="meta",
        operation=row.operation,
        resource=row.resource,
        content=filled(row.content, uid),
    )
    assert typed.read(request, UP).kind.name != UNKNOWN
    await edge.send(request)
    if row.answer == NONE:
        await eventually(lambda: row.write in cloud.api.calls[before:])
        await edge.ask("k8s/ca.crt", "query")
        assert not [m for m in edge.received if m.parent_id == request.id]
    else:
        answer = await edge.wait(lambda m: m.parent_id == request.id)
        source = "cloudhub" if row.resource == "k8s/ca.crt" else "edgecontroller"
        assert (answer.route.source, answer.route.group, about(answer)) == (
            source,
            "resource",
            ("response", row.resource),
        )
        assert typed.read(answer, DOWN).kind.name != UNKNOWN
        assert form(answer) == row.answer
        assert bool(answer.header.resourceversion) is row.versioned
        if row.acknowledged:
            owner = answer.object()["metadata"]["uid"]
            await eventually(lambda: recorded(cloud.api, owner) == answer.header.resourceversion)
    if row.write is not None:
        assert row.write in cloud.api.calls[before:]
    await edge.close()


REFUSED = {
    "a pod of another node is created": ("default/pod/x", "insert", {"spec": {"nodeName": "edge2"}}),
    "a pod that is no mirror is created": ("default/pod/x", "insert", {"spec": {"nodeName": "edge1"}}),
    "a claim that no pod uses": ("default/persistentvolumeclaim/other", "query", None),
    "a volume of another claim": ("null/persistentvolume/foreign", "query", None),
    "an attachment of another node": ("default/volumeattachment/foreign", "query", None),
    "a secret that no pod uses": ("default/secret/other", "query", None),
    "a token of an account that no pod runs as": ("default/serviceaccounttoken/robot", "query", {"spec": {}}),
    "a token bound to a pod elsewhere": (
        "default/serviceaccounttoken/default", "query",
        {"spec": {"boundObjectRef": {"kind": "Pod", "name": "web", "uid": "another"}}},
    ),
    "a token bound to no pod": (
        "default/serviceaccounttoken/default", "query",
        {"spec": {"boundObjectRef": {"kind": "Secret", "name": "sec"}}},
    ),
    "a serving certificate of another node": (
        "default/certificatesigningrequest/csr-1", "insert", csr("system:node:edge2"),
    ),
    "a client certificate of another node": (
        "default/certificatesigningrequest/csr-1", "insert",
        csr("system:node:edge2", "kubernetes.io/kube-apiserver-client-kubelet"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("ask", REFUSED.values(), ids=REFUSED)
async def test_what_is_none_of_the_node_s_is_forbidden(cloud: Cloud, ask: tuple[str, str, Any]) -> None:
    await furnish(cloud)
    edge = await cloud.join()
    await edge.pushed("default/pod/web", "insert")
    content = (await edge.ask(*ask)).object()
    error = content.get("Err") or content
    assert error["ErrStatus"]["reason"] == "Forbidden"
    written = {(plural, name) for _, plural, name in cloud.api.calls}
    assert not written & {("pods", "x"), ("certificatesigningrequests", "csr-1")}
    await edge.close()


SILENT = {
    "another node's status": ("null/nodepatch/edge2", "patch", NODE_STATUS),
    "another node's lease": ("kube-node-lease/lease/edge2", "query", None),
    "a lease elsewhere": ("kube-system/lease/edge1", "insert", LEASE),
    "a rule's status": ("default/rulestatus/rule", "update", {"successMessages": 1}),
    "a kind that nobody knows": ("default/nosuchkind/x", "query", None),
}


@pytest.mark.parametrize("ask", SILENT.values(), ids=SILENT)
async def test_what_no_node_may_and_what_nobody_knows_is_passed_over(
    cloud: Cloud, ask: tuple[str, str, Any]
) -> None:
    await furnish(cloud)
    await cloud.node("edge2")
    edge = await cloud.join()
    await edge.pushed("default/pod/web", "insert")
    resource, operation, content = ask
    request = wire.new(source="edged", group="meta", operation=operation, resource=resource, content=content)
    await edge.send(request)
    before = set(cloud.api.calls)
    assert (await edge.ask("null/node/edge1", "query")).object()["kind"] == "Node"
    assert not [m for m in edge.received if m.parent_id == request.id]
    assert not [
        call for call in set(cloud.api.calls) - before if call[1] in ("leases", "nodes/status", "rules")
    ]
    await edge.close()
