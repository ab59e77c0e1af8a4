"""`keadm diagnose cloud`: certificates and token, and what the API knows of edge nodes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.keadm.conftest import Keadm

from edgelab import KUBEEDGE_VERSION
from edgelab.identity.ca import CertificateAuthority
from edgelab.identity.token import make
from edgelab.keadm.diagnose_cloud import names, token, validity
from edgelab.keadm.diagnose_cluster import Cluster, judge
from edgelab.keadm.diagnose_findings import Finding
from edgelab.objects.placement import EDGE_LABEL as EDGE

NOW = dt.datetime(2026, 6, 1, 12, 0, tzinfo=dt.UTC)
Obj = dict[str, Any]


def at(seconds: float) -> str:
    return (NOW + dt.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def node(name: str = "edge1", *, ready: str = "True", address: str = "10.0.0.1", **more: Any) -> Obj:
    return {
        "metadata": {"name": name, "labels": {EDGE: "", "kubernetes.io/os": "linux"}},
        "spec": {"taints": more.get("taints", [])},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": ready, "reason": "R", "message": "because"}],
            "nodeInfo": {"kubeletVersion": more.get("version", f"v1.32.10-kubeedge-{KUBEEDGE_VERSION}")},
        },
    }


def lease(name: str = "edge1", age: float = 5) -> Obj:
    return {"metadata": {"name": name}, "spec": {"renewTime": at(-age), "leaseDurationSeconds": 40}}


def pod(age: float = 600, deleted: float | None = None, **status: Any) -> Obj:
    meta = {"namespace": "default", "name": "web", "creationTimestamp": at(-age)}
    if deleted is not None:
        meta["deletionTimestamp"] = at(-deleted)
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return {
        "metadata": meta,
        "spec": {"nodeName": "edge1"},
        "status": {"phase": "Running", **ready, **status},
    }


def daemon_set(name: str = "kube-proxy", **spec: Any) -> Obj:
    template = {"spec": {"tolerations": [{"operator": "Exists"}], **spec}}
    return {"metadata": {"name": name, "namespace": "kube-system"}, "spec": {"template": template}}


def affinity(operator: str) -> Obj:
    term = {"matchExpressions": [{"key": EDGE, "operator": operator}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return {"affinity": {"nodeAffinity": required}}


def find(code: str, *, wanted: tuple[str, ...] = (), **changes: list[Obj]) -> list[Finding]:
    objects = {"nodes": [node()], "pods": [pod()], "leases": [lease()], "daemon_sets": [], **changes}
    found = [one for one in judge(Cluster(**objects), list(wanted), NOW) if one.code == code]
    assert found
    return found


CODES = ("NODE-READY", "NODE-LEASE", "NODE-ADDRESS", "NODE-PODS", "NODE-DAEMONSETS", "NODE-VERSION")


@pytest.mark.parametrize("code", CODES)
def test_a_healthy_cluster_is_ok(code: str) -> None:
    assert [(one.status, one.fix) for one in find(code)] == [("ok", "")]


@pytest.mark.parametrize("code", CODES)
def test_without_edge_nodes_nothing_is_known(code: str) -> None:
    assert [one.status for one in find(code, nodes=[])] == ["unknown"]


WAITING = [{"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]
UNSCHEDULED = {"phase": "Pending", "conditions": [{"type": "X", "status": "False", "message": "no room"}]}
FAULTS: list[tuple[str, dict[str, list[Obj]], str, str, str]] = [
    ("NODE-READY", {"nodes": [node(ready="Unknown")]}, "failed", "R: because", "journalctl -u edgecore"),
    ("NODE-LEASE", {"leases": [lease(age=90)]}, "failed", "renewed 90 s ago", "systemctl status edgecore"),
    ("NODE-LEASE", {"leases": []}, "warning", "has no lease", "systemctl status edgecore"),
    ("NODE-ADDRESS", {"nodes": [node(), node("edge2")]}, "failed", "edge1, edge2", "edgecore_node_ip"),
    (
        "NODE-PODS",
        {"pods": [pod(phase="Pending", containerStatuses=WAITING)]},
        "failed",
        "no such image",
        "describe pod web",
    ),
    (
        "NODE-PODS",
        {"pods": [pod(30, phase="Pending", containerStatuses=WAITING)]},
        "warning",
        "young",
        "describe",
    ),
    ("NODE-PODS", {"pods": [pod(**UNSCHEDULED)]}, "failed", "Pending: no room", "describe"),
    (
        "NODE-PODS",
        {"pods": [pod(phase="Failed", reason="Evicted", message="disk")]},
        "failed",
        "Evicted: disk",
        "describe",
    ),
    ("NODE-PODS", {"pods": [pod(deleted=300)]}, "warning", "being deleted", "connected"),
    ("NODE-DAEMONSETS", {"daemon_sets": [daemon_set()]}, "failed", "runs on edge1", "keadm off-edge set"),
    (
        "NODE-DAEMONSETS",
        {"daemon_sets": [daemon_set("logger")]},
        "warning",
        "runs on edge1",
        "keadm off-edge set",
    ),
    ("NODE-VERSION", {"nodes": [node(version="v1.31.0-kubeedge-v1.22.0")]}, "warning", "v1.22.0", "site.yml"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault[0]}-{fault[3]}")
def test_each_fault_is_found_with_its_fix(fault: tuple[str, dict[str, list[Obj]], str, str, str]) -> None:
    code, changes, status, words, fix = fault
    one = find(code, **changes)[0]
    assert one.status == status
    assert words in one.found
    assert fix in one.fix


def test_a_node_that_was_to_be_there_and_never_came() -> None:
    found = {one.subject: one.status for one in find("NODE-READY", wanted=("edge1", "edge2"))}
    assert found == {"edge1": "ok", "edge2": "failed"}


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeSelector": {"kubernetes.io/os": "windows"}},
        {"nodeSelector": {EDGE: ""}},
        affinity("DoesNotExist"),
        affinity("Exists"),
    ],
)
def test_daemon_sets_that_keep_off_or_are_meant_for_the_edge_are_fine(spec: Obj) -> None:
    assert find("NODE-DAEMONSETS", daemon_sets=[daemon_set(**spec)])[0].status == "ok"


def test_a_taint_keeps_daemon_sets_off_that_do_not_tolerate_it() -> None:
    tainted = [node(taints=[{"key": EDGE, "effect": "NoSchedule"}])]
    strict = daemon_set(tolerations=[])
    assert find("NODE-DAEMONSETS", nodes=tainted, daemon_sets=[strict])[0].status == "ok"
    lax = daemon_set(tolerations=[{"key": EDGE, "operator": "Exists"}])
    assert find("NODE-DAEMONSETS", nodes=tainted, daemon_sets=[lax])[0].status == "failed"


def test_jobs_that_are_done_are_no_fault() -> None:
    assert find("NODE-PODS", pods=[pod(phase="Succeeded", conditions=[])])[0].status == "ok"


@pytest.fixture
def ca() -> CertificateAuthority:
    return CertificateAuthority.create("KubeEdge", lambda: NOW)


def shown_by(ca: CertificateAuthority, days: int = 300, *addresses: str) -> x509.Certificate:
    pair = ca.issue(common_name="KubeEdge", server=True, days=days, ip_addresses=addresses)
    return x509.load_pem_x509_certificate(pair.cert_pem)


def test_an_address_that_the_certificate_does_not_name(ca: CertificateAuthority) -> None:
    shown = shown_by(ca, 300, "10.0.0.1")
    assert [one.status for one in names(shown, ["10.0.0.1"])] == ["ok"]
    [one] = names(shown, ["10.0.0.1", "192.0.2.1"])
    assert (one.status, one.subject) == ("failed", "192.0.2.1")
    assert "add 192.0.2.1 to cloudcore_advertise_addresses" in one.fix
    assert names(shown_by(ca), ["10.0.0.1"])[0].status == "failed"
    assert names(None, ["10.0.0.1"])[0].status == "unknown"


@pytest.mark.parametrize(("days", "status"), [(1, "failed"), (10, "warning"), (300, "ok")])
def test_the_end_of_cloudcore_s_certificate(ca: CertificateAuthority, days: int, status: str) -> None:
    found = validity(shown_by(ca, days), ca.cert_der, NOW)
    assert [(one.code, one.status) for one in found] == [
        ("CLOUD-CERT-EXPIRY", status),
        ("CLOUD-CERT-EXPIRY", "ok"),
        ("CLOUD-CERT-CA", "ok"),
    ]


def test_a_certificate_of_another_authority(ca: CertificateAuthority) -> None:
    other = CertificateAuthority.create("KubeEdge", lambda: NOW)
    assert validity(shown_by(other), ca.cert_der, NOW)[-1].status == "failed"
    assert {one.status for one in validity(None, b"", NOW)} == {"unknown"}


def test_the_join_token(ca: CertificateAuthority) -> None:
    good = make(ca.cert_der, ca.key_der, NOW + dt.timedelta(hours=12)).encode()
    late = make(ca.cert_der, ca.key_der, NOW - dt.timedelta(hours=1)).encode()
    other = CertificateAuthority.create("KubeEdge", lambda: NOW)
    assert token(good, ca.cert_der, NOW).status == "ok"
    assert "expired" in token(late, ca.cert_der, NOW).found
    assert "another CA" in token(good, other.cert_der, NOW).found
    assert "malformed" in token(b"rubbish", ca.cert_der, NOW).found
    assert "there is no join token" in token(b"", ca.cert_der, NOW).found


def test_a_host_without_a_control_plane_is_unknown(keadm: Keadm, tmp_path: Path) -> None:
    status, answer = keadm(
        "diagnose", "cloud", "--config", tmp_path / "c.yaml", "--kube-config", tmp_path / "k", "-s", "1"
    )
    assert status == 0
    assert {one["status"] for one in answer["checks"]} == {"unknown"}


def test_an_api_server_that_does_not_answer_is_one_fault(
    keadm: Keadm, tmp_path: Path, kube_config: Path, server: Any
) -> None:
    server.close()
    status, answer = keadm(
        "diagnose", "cloud", "--config", tmp_path / "c.yaml", "--kube-config", kube_config, "-s", "1"
    )
    assert status == 0
    assert [one["code"] for one in answer["checks"] if one["status"] == "failed"] == ["CLOUD-API"]
