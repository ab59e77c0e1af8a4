"""edge_config, edge_node and kube_apply: what they ask of keadm, and what they make of its answers.

edge_config also runs against the real keadm; the others meet it in the integration tests.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.modules import edge_config, edge_node, kube_apply

from tests.unit.module_harness import REAL_KEADM, FakeKeadm, run

NODE = {"metadata": {"labels": {"a": "b"}}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}
READY = {"changed": False, "exists": True, "ready": True, "reason": "", "node": NODE}


def test_settings_travel_through_stdin_and_never_as_arguments(keadm: FakeKeadm) -> None:
    keadm.answer(default={"changed": True, "before": "a: 1\n", "after": "a: 2\n", "problems": []})
    settings = {"modules": {"eventBus": {"mqttPassword": "hunter2"}}}
    result = run(
        edge_config, component="edgecore", settings=settings, keadm=str(keadm.path), _ansible_diff=True
    )
    [(words, stdin)] = keadm.calls
    assert result["changed"] is True
    assert result["diff"]["before"] == "a: 1\n"
    assert "hunter2" not in " ".join(words)
    assert json.loads(stdin) == settings
    assert words[:6] == ["config", "merge", "--component", "edgecore", "--file", result["path"]]


def test_check_mode_reaches_keadm(keadm: FakeKeadm) -> None:
    keadm.answer(default={"changed": True, "before": "", "after": "x", "problems": []})
    run(edge_config, component="cloudcore", settings={}, keadm=str(keadm.path), _ansible_check_mode=True)
    assert "--check" in keadm.calls[0][0]


def test_a_refused_configuration_names_the_fields(keadm: FakeKeadm) -> None:
    problems = [{"field": "modules.x", "message": "unknown field"}]
    keadm.answer(default={"error": "edgecore.yaml: modules.x: unknown field", "problems": problems})
    result = run(edge_config, component="edgecore", settings={}, keadm=str(keadm.path))
    assert result["failed"]
    assert result["problems"] == problems
    assert "modules.x: unknown field" in result["msg"]


def test_edge_config_with_the_real_keadm(tmp_path: Path) -> None:
    file = tmp_path / "edgecore.yaml"
    settings = {"modules": {"edged": {"hostnameOverride": "edge1"}, "edgeHub": {"token": "s3cret.a.b.c"}}}
    options: dict[str, Any] = {"component": "edgecore", "path": str(file), "keadm": str(REAL_KEADM)}
    first = run(edge_config, settings=settings, **options, _ansible_diff=True)
    assert first["changed"] is True
    assert "+ hostnameOverride" not in json.dumps(first)
    assert "s3cret" not in json.dumps(first)
    assert "s3cret" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run(edge_config, settings=settings, **options)["changed"] is False
    wrong = run(edge_config, settings={"modules": {"edgedd": {}}}, **options)
    message = "unknown field; did you mean edged?"
    assert wrong["problems"] == [{"field": "modules.edgedd", "message": message}]


@pytest.mark.parametrize("module", [edge_config, edge_node, kube_apply])
def test_check_mode_on_a_host_without_keadm_reports_a_change(module: Any, tmp_path: Path) -> None:
    options: dict[Any, dict[str, Any]] = {
        edge_config: {"component": "edgecore", "settings": {}},
        edge_node: {"name": "edge1", "state": "ready"},
        kube_apply: {"initialise": True},
    }
    result = run(module, **options[module], keadm=str(tmp_path / "none"), _ansible_check_mode=True)
    assert (result["changed"], result["failed"]) == (True, False)
    result = run(module, **options[module], keadm=str(tmp_path / "none"))
    assert result["failed"]
    assert "install the runtime first" in result["msg"]


def test_a_keadm_that_crashes_is_reported_by_its_last_line(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.path.write_text("#!/bin/sh\necho Traceback >&2\necho 'ValueError: boom' >&2\nexit 70\n")
    result = run(kube_apply, initialise=True, **cluster)
    assert "status 70: ValueError: boom" in result["msg"]


def test_ready_waits_then_sets_labels_and_taints(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default=READY, node_label={**READY, "changed": True})
    taints = [
        {"key": "k", "value": "v", "effect": "NoSchedule"},
        {"key": "old", "effect": "NoExecute", "state": "absent"},
    ]
    result = run(
        edge_node, name="edge1", state="ready", labels={"x": "1", "gone": None}, taints=taints, **cluster
    )
    verbs = [words[1] for words, _ in keadm.calls]
    assert verbs == ["wait", "label", "taint", "get"]
    assert (result["changed"], result["ready"], result["node"]) == (True, True, NODE)
    assert keadm.calls[1][0][-6:] == ["--label", "gone-", "--label", "x=1", "--output", "json"]
    assert keadm.calls[2][0][-6:-2] == ["--taint", "k=v:NoSchedule", "--taint", "old:NoExecute-"]


def test_a_node_that_does_not_become_ready_fails_with_the_reason(
    keadm: FakeKeadm, cluster: dict[str, str]
) -> None:
    keadm.answer(node_wait={"error": "node edge1 is not Ready: no CNI", "ready": False, "reason": "no CNI"})
    result = run(edge_node, name="edge1", state="ready", wait_timeout=1, **cluster)
    assert (result["failed"], result["ready"], result["reason"]) == (True, False, "no CNI")
    assert "no CNI" in result["msg"]
    assert keadm.calls[0][0][-4:-2] == ["--timeout", "1"]


def test_present_fails_for_a_node_that_is_not_there(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={**READY, "exists": False, "ready": False, "reason": "no such node", "node": {}})
    assert "no such node" in run(edge_node, name="edge1", **cluster)["msg"]


@pytest.mark.parametrize(("state", "verb"), [("registered", "register"), ("absent", "delete")])
def test_register_and_delete_are_one_question(
    keadm: FakeKeadm, cluster: dict[str, str], state: str, verb: str
) -> None:
    keadm.answer(default={**READY, "changed": True})
    result = run(edge_node, name="edge1", state=state, **cluster, _ansible_check_mode=True)
    assert result["changed"] is True
    [(words, _)] = keadm.calls
    assert words[:2] == ["node", verb]
    assert "--check" in words


def test_diff_of_a_node_shows_labels_and_taints(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default=READY, node_register={**READY, "changed": True})
    result = run(edge_node, name="edge1", state="registered", **cluster, _ansible_diff=True)
    assert result["diff"]["after"] == "label a=b\ntaint k=:NoSchedule\n"


def test_definitions_become_one_list_on_stdin(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    done = {"kind": "ConfigMap", "name": "c", "namespace": "n", "action": "changed"}
    sides = {"before": {"data": {"a": "1"}}, "after": {"data": {"a": "2"}}}
    keadm.answer(default={"changed": True, "objects": [{**done, **sides}]})
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    result = run(kube_apply, definition=[manifest, manifest], **cluster, _ansible_diff=True)
    [(words, stdin)] = keadm.calls
    assert words[:5] == ["apply", "--kube-config", cluster["kubeconfig"], "--filename", "-"]
    assert json.loads(stdin)["items"] == [manifest, manifest]
    assert result["objects"] == [done]
    assert '"a": "1"' in result["diff"]["before"]
    assert '"a": "2"' in result["diff"]["after"]


def test_initialise_and_src_are_passed_on(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    keadm.answer(default={"changed": False, "objects": []})
    run(kube_apply, initialise=True, **cluster)
    run(kube_apply, src="/x/y.yaml", **cluster, _ansible_check_mode=True)
    assert keadm.calls[0][0][0] == "init"
    assert "--cluster-only" in keadm.calls[0][0]
    assert keadm.calls[1][0][3:6] == ["--check", "--filename", "/x/y.yaml"]


def test_an_older_keadm_initialises_by_its_own_words(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    """An upgrade meets it, and a rollback brings it back: it does nothing else than the cluster."""
    keadm.answer(init="error: No such option '--cluster-only'.")
    run(kube_apply, initialise=True, **cluster)
    first, second = (words for words, _ in keadm.calls)
    assert "--cluster-only" in first
    assert second == [word for word in first if word != "--cluster-only"]


@pytest.mark.parametrize("options", [{}, {"src": "/x", "initialise": True}, {"definition": [1]}])
def test_kube_apply_refuses_what_it_cannot_understand(
    cluster: dict[str, str], options: dict[str, Any]
) -> None:
    assert run(kube_apply, **options, **cluster)["failed"]


def test_absent_objects_are_deleted_by_the_same_manifest(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    gone = {"kind": "ConfigMap", "name": "c", "namespace": "n", "action": "deleted"}
    keadm.answer(default={"changed": True, "objects": [{**gone, "before": {"data": {}}, "after": None}]})
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    result = run(kube_apply, state="absent", definition=manifest, **cluster)
    assert keadm.calls[0][0][0] == "delete"
    assert (result["changed"], result["objects"]) == (True, [gone])


def test_where_nothing_is_installed_nothing_has_to_go(cluster: dict[str, str], tmp_path: Path) -> None:
    arguments = {**cluster, "keadm": str(tmp_path / "none"), "_ansible_check_mode": True}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    assert run(kube_apply, definition=manifest, **arguments)["changed"] is True
    assert run(kube_apply, state="absent", definition=manifest, **arguments)["changed"] is False


def test_what_initialise_brings_is_not_deleted(keadm: FakeKeadm, cluster: dict[str, str]) -> None:
    result = run(kube_apply, state="absent", initialise=True, **cluster)
    assert "too much goes with the definitions" in result["msg"]
    assert keadm.calls == []
