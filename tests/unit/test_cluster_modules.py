"""edge_exclusion and kube_rollout: what they ask of keadm, and what they make of its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.modules import edge_exclusion, kube_apply, kube_rollout

from tests.unit.module_harness import FakeKeadm, run

PROXY: dict[str, Any] = {
    "kind": "DaemonSet",
    "namespace": "kube-system",
    "name": "kube-proxy",
    "edge": "off",
    "tolerates": True,
    "pods": [],
    "changed": True,
    "before": {},
    "after": {"required": "x"},
}
SHOWN = {key: value for key, value in PROXY.items() if key not in ("before", "after")}


def test_an_exclusion_is_one_question_with_a_diff(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={"changed": True, "nodes": ["edge1"], "workloads": [PROXY]})
    options = {"deployments": ["kube-system/coredns"], "allow": ["a/b", "c/d"]}
    result = run(edge_exclusion, **options, **cluster, _ansible_check_mode=True, _ansible_diff=True)
    [(words, _)] = keadm.calls
    assert words[:4] == ["off-edge", "set", "--kube-config", cluster["kubeconfig"]]
    assert words[4:-2] == [
        *("--daemonset", "*/*", "--deployment", "kube-system/coredns"),
        *("--allow", "a/b", "--allow", "c/d", "--check"),
    ]
    assert (result["changed"], result["nodes"], result["workloads"]) == (True, ["edge1"], [SHOWN])
    assert "DaemonSet/kube-system/kube-proxy nodeAffinity {}" in result["diff"]["before"]
    assert '"required": "x"' in result["diff"]["after"]


def test_no_daemon_set_is_not_all_of_them(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={"changed": False, "nodes": [], "workloads": []})
    run(edge_exclusion, daemonsets=[], **cluster)
    assert keadm.calls[0][0][4:6] == ["--daemonset", "-/-"]


def test_pods_on_edge_nodes_fail_the_verification(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    told = "1 pods on edge nodes: DaemonSet kube-system/kube-proxy: kube-system/kube-proxy-a on edge1"
    keadm.answer(default={"error": told, "open": ["kube-system/kube-proxy"], "workloads": [PROXY]})
    result = run(edge_exclusion, state="verified", wait_timeout=7, **cluster)
    assert keadm.calls[0][0][1] == "verify"
    assert keadm.calls[0][0][-4:-2] == ["--timeout", "7"]
    assert result["failed"]
    assert told in result["msg"]
    assert result["open"] == ["kube-system/kube-proxy"]


def test_daemon_sets_that_could_come_are_a_warning(
    keadm: FakeKeadm, cluster: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    keadm.answer(default={"changed": False, "nodes": ["edge1"], "workloads": [], "open": ["a/agent"]})
    result = run(edge_exclusion, state="verified", daemonsets=["kube-system/*"], **cluster)
    assert (result["failed"], result["open"]) == (False, ["a/agent"])
    told = f"{result.get('warnings')} {capsys.readouterr().err}"  # releases of Ansible differ in the place
    assert "DaemonSet a/agent could come to edge nodes" in told


def test_a_rollout_is_waited_for(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    ready = {"kind": "DaemonSet", "namespace": "n", "name": "d", "ready": True, "reason": ""}
    keadm.answer(default={"changed": False, "objects": [ready]})
    options: dict[str, Any] = {"daemonsets": ["n/d"], "deployments": ["n/e"], "api_services": ["v1.x"]}
    result = run(kube_rollout, wait_timeout=9, **options, **cluster)
    [(words, _)] = keadm.calls
    assert words[:5] == ["rollout", "--kube-config", cluster["kubeconfig"], "--timeout", "9"]
    assert words[5:-2] == ["--daemonset", "n/d", "--deployment", "n/e", "--api-service", "v1.x"]
    assert (result["changed"], result["objects"]) == (False, [ready])


def test_a_rollout_that_does_not_end_says_why(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={"error": "not ready after 1 s: ImagePullBackOff", "objects": [{"ready": False}]})
    result = run(kube_rollout, daemonsets=["n/d"], **cluster)
    assert result["failed"]
    assert "ImagePullBackOff" in result["msg"]
    assert result["objects"] == [{"ready": False}]


@pytest.mark.parametrize(
    ("module", "options", "changed"),
    [
        (edge_exclusion, {}, True),
        (edge_exclusion, {"state": "verified"}, False),
        (kube_rollout, {"daemonsets": ["n/d"]}, False),
    ],
)
def test_check_mode_before_anything_is_installed(
    module: Any, options: dict[str, Any], changed: bool, tmp_path: Path
) -> None:
    result = run(module, **options, keadm=str(tmp_path / "none"), _ansible_check_mode=True)
    assert (result["changed"], result["failed"]) == (changed, False)
    assert "is not there yet" in result["msg"]


def test_manifests_can_be_applied_off_edge_nodes(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={"changed": False, "objects": []})
    run(kube_apply, src="/x/y.yaml", off_edge=True, **cluster)
    assert keadm.calls[0][0][3:6] == ["--off-edge", "--filename", "/x/y.yaml"]
