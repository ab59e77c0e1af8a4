"""What the node refuses, in the kubelet's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.edgecore.edged.desk import driven, working
from tests.edgecore.edged.samples import pod

from edgelab.edgecore.edged import admission, affinity
from edgelab.edgecore.edged.admission import NodeFacts

Obj = dict[str, Any]
NODE = NodeFacts(
    name="edge1",
    allocatable={"cpu": "2", "memory": "1Gi", "ephemeral-storage": "10Gi", "pods": "3"},
    labels={"kubernetes.io/os": "linux", "place": "roof", "level": "3"},
)


def asking(**amounts: str) -> Obj:
    return {"name": "main", "image": "x", "resources": {"requests": amounts}}


def reason(described: Obj, *others: Obj, node: NodeFacts = NODE) -> str:
    refusal = admission.check(described, others, node)
    return refusal.reason if refusal else ""


def test_too_much_cpu_is_refused_with_the_sums() -> None:
    refusal = admission.check(pod(asking(cpu="1500m")), [pod(asking(cpu="600m"))], NODE)
    assert refusal == (
        "OutOfcpu",
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 1500, used: 600, capacity: 2000",
    )
    assert reason(pod(asking(cpu="1400m")), pod(asking(cpu="600m"))) == ""


def test_memory_pods_and_storage_are_counted_too() -> None:
    assert reason(pod(asking(memory="2Gi"))) == "OutOfmemory"
    assert reason(pod(asking(**{"ephemeral-storage": "11Gi"}))) == "OutOfephemeral-storage"
    assert reason(pod(), pod(), pod(), pod()) == "OutOfpods"
    assert reason(pod(asking(**{"example.org/gpu": "1"}))) == ""


def test_init_containers_count_by_the_largest_and_sidecars_always() -> None:
    initial = [
        {**asking(cpu="500m"), "name": "side", "restartPolicy": "Always"},
        {**asking(cpu="1"), "name": "once"},
    ]
    described = pod(asking(cpu="600m"), initContainers=initial)
    assert admission.requests(described)["cpu"] == 1.5
    heavy = pod(asking(cpu="1200m"), initContainers=initial, overhead={"cpu": "300m"})
    assert admission.requests(heavy)["cpu"] == 2


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"os": {"name": "windows"}}, "PodOSNotSupported"),
        ({"nodeSelector": {"kubernetes.io/os": "windows"}}, "PodOSSelectorNodeLabelDoesNotMatch"),
        ({"nodeSelector": {"place": "cellar"}}, "NodeAffinity"),
        ({"nodeSelector": {"place": "roof"}}, ""),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "SysctlForbidden"),
        (
            {"hostNetwork": True, "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies"}]}},
            "SysctlForbidden",
        ),
        ({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}, ""),
    ],
)
def test_place_system_and_sysctls(spec: Obj, expected: str) -> None:
    assert reason(pod(**spec)) == expected


def test_allowed_unsafe_sysctls_may_be_patterns() -> None:
    described = pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})
    node = NodeFacts("edge1", {}, unsafe_sysctls=["kernel.msg*"])
    assert reason(described, node=node) == ""


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": "place", "operator": "In", "values": ["roof", "cellar"]}, True),
        ({"key": "place", "operator": "NotIn", "values": ["roof"]}, False),
        ({"key": "absent", "operator": "DoesNotExist"}, True),
        ({"key": "level", "operator": "Gt", "values": ["2"]}, True),
        ({"key": "level", "operator": "Lt", "values": ["2"]}, False),
    ],
)
def test_expressions_of_node_affinity(expression: Obj, fits: bool) -> None:
    terms = [{"matchExpressions": [expression]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    described = pod(affinity={"nodeAffinity": required})
    assert affinity.fits(described, "edge1", NODE.labels or {}) is fits


def test_terms_are_alternatives_and_the_name_of_the_node_counts() -> None:
    named = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["edge1"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}, named]}}
    described = pod(affinity={"nodeAffinity": required})
    assert affinity.fits(described, "edge1", {})
    assert not affinity.fits(described, "edge2", {})


def port(number: int, **more: Any) -> Obj:
    return pod({"name": "main", "image": "x", "ports": [{"containerPort": 80, "hostPort": number, **more}]})


def test_host_ports_are_given_once_per_address_and_protocol() -> None:
    assert reason(port(8080), port(8080)) == "NodePorts"
    assert reason(port(8080, hostIP="127.0.0.1"), port(8080)) == "NodePorts"
    assert reason(port(8080, hostIP="127.0.0.1"), port(8080, hostIP="127.0.0.2")) == ""
    assert reason(port(8080, protocol="UDP"), port(8080)) == ""


def test_taints_that_end_pods_keep_new_ones_out() -> None:
    taint = {"key": "gone", "value": "yes", "effect": "NoExecute"}
    node = NodeFacts("edge1", {}, labels={}, taints=[taint, {"key": "x", "effect": "NoSchedule"}])
    assert reason(pod(), node=node) == "TaintToleration"
    for toleration in ({"operator": "Exists"}, {"key": "gone", "value": "yes", "effect": "NoExecute"}):
        assert reason(pod(tolerations=[toleration]), node=node) == ""
    assert reason(pod(tolerations=[{"key": "gone", "value": "no"}]), node=node) == "TaintToleration"


def test_apparmor_profile_needs_apparmor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = pod(securityContext={"appArmorProfile": {"type": "RuntimeDefault"}})
    monkeypatch.setattr(admission, "APPARMOR", tmp_path / "enabled")
    assert reason(described) == "AppArmor"
    (tmp_path / "enabled").write_text("Y\n")
    assert reason(described) == ""
    old = pod()
    old["metadata"]["annotations"] = {"container.apparmor.security.beta.kubernetes.io/main": "localhost/p"}
    (tmp_path / "enabled").write_text("N\n")
    assert reason(old) == "AppArmor"


@driven
async def test_refused_pod_is_failed_and_nothing_is_made(tmp_path: Path) -> None:
    async with working(tmp_path, pod()) as desk:
        desk.kit.admit = lambda _: admission.Refusal("OutOfcpu", "Pod was rejected: no")
        await desk.until(lambda: desk.phase == "Failed")
        await desk.passes(30)
        assert {key: desk.status[key] for key in ("reason", "message", "qosClass")} == {
            "reason": "OutOfcpu",
            "message": "Pod was rejected: no",
            "qosClass": "BestEffort",
        }
        assert "containerStatuses" not in desk.status
        assert desk.runtime.calls == []
        assert desk.events("OutOfcpu") == ["Pod was rejected: no"]


@driven
async def test_pod_that_runs_already_is_not_asked_again(tmp_path: Path) -> None:
    async with working(tmp_path, pod()) as desk:
        await desk.until(lambda: desk.phase == "Running")
        desk.worker.admitted = False
        desk.kit.admit = lambda _: admission.Refusal("OutOfcpu", "no")
        await desk.passes(30)
        assert desk.phase == "Running"
