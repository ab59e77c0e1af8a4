"""Who may come to edge nodes, judged with the rules of the scheduler, and who not after the change."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from edgelab.edgesite.scheduler.nodes import matches_node
from edgelab.objects.placement import EDGE_LABEL, Reach, all_off_edge, off_edge, reach, tolerates_edge

EDGE = {"metadata": {"name": "edge1", "labels": {EDGE_LABEL: "", "os": "linux", "zone": "a"}}}
CLOUD = {"metadata": {"name": "cloud", "labels": {"os": "linux", "zone": "a"}}}
LINUX = {"key": "os", "operator": "In", "values": ["linux"]}
ZONE = {"key": "zone", "operator": "In", "values": ["b"]}
NAMED = {"key": "metadata.name", "operator": "In", "values": ["edge1"]}
NOT_EDGE = {"key": EDGE_LABEL, "operator": "DoesNotExist"}
IS_EDGE = {"key": EDGE_LABEL, "operator": "Exists"}


def workload(*terms: dict[str, Any], **spec: Any) -> dict[str, Any]:
    if terms:
        required = {"nodeSelectorTerms": list(terms)}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return {"kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": {"template": {"spec": spec}}}


def expressions(*items: dict[str, Any]) -> dict[str, Any]:
    return {"matchExpressions": list(items)}


def fits(obj: dict[str, Any], node: dict[str, Any]) -> bool:
    return matches_node(obj["spec"]["template"], node)


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (workload(), Reach.open),
        (workload(nodeSelector={"os": "linux"}), Reach.open),
        (workload(expressions(LINUX)), Reach.open),
        (workload({"matchFields": [NAMED]}), Reach.open),
        (workload(expressions(NOT_EDGE)), Reach.off),
        (workload(expressions(LINUX, NOT_EDGE)), Reach.off),
        (workload(expressions(NOT_EDGE), expressions(ZONE)), Reach.open),
        (workload({}), Reach.off),
        (workload(nodeSelector={EDGE_LABEL: ""}), Reach.only),
        (workload(expressions(IS_EDGE, LINUX)), Reach.only),
        (workload(expressions(IS_EDGE), expressions(LINUX)), Reach.open),
        (workload(expressions({**NOT_EDGE, "operator": "NotIn", "values": ["x"]})), Reach.open),
        (workload(affinity={"nodeAffinity": None, "podAntiAffinity": {}}), Reach.open),
    ],
)
def test_where_pods_may_run(obj: dict[str, Any], expected: Reach) -> None:
    assert reach(obj) is expected
    if expected is Reach.off:
        assert not fits(obj, EDGE)


@pytest.mark.parametrize(
    "obj",
    [
        workload(),
        workload(nodeSelector={"os": "linux"}),
        workload(expressions(LINUX)),
        workload(expressions(ZONE), expressions(LINUX)),
        workload(expressions(NOT_EDGE), expressions(LINUX)),
        workload({"matchFields": [NAMED]}, expressions(LINUX)),
        workload(expressions(ZONE), {}),
    ],
)
def test_afterwards_no_edge_node_fits_and_the_others_fit_as_before(obj: dict[str, Any]) -> None:
    before = copy.deepcopy(obj)
    changed = off_edge(obj)
    assert obj == before
    assert not fits(changed, EDGE)
    assert fits(changed, CLOUD) == fits(obj, CLOUD)
    assert reach(changed) is Reach.off
    assert off_edge(changed) == changed


def test_a_term_that_fits_no_node_is_not_made_into_one_that_does() -> None:
    changed = off_edge(workload({}, expressions(ZONE)))
    assert not fits(changed, CLOUD)
    assert not fits(changed, EDGE)


def test_other_kinds_of_affinity_stay() -> None:
    preferred = [{"weight": 1, "preference": expressions(ZONE)}]
    affinity = {
        "podAntiAffinity": {"x": 1},
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred},
    }
    after = off_edge(workload(affinity=affinity))["spec"]["template"]["spec"]["affinity"]
    assert after["podAntiAffinity"] == {"x": 1}
    assert after["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] == preferred


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], False),
        ([{"operator": "Exists"}], True),
        ([{"operator": "Exists", "effect": "NoSchedule"}], True),
        ([{"operator": "Exists", "effect": "NoExecute"}], False),
        ([{"key": EDGE_LABEL, "operator": "Exists"}], True),
        ([{"key": "CriticalAddonsOnly", "operator": "Exists"}], False),
    ],
)
def test_what_the_taint_of_edge_nodes_would_keep_away(tolerations: list[Any], expected: bool) -> None:
    assert tolerates_edge(workload(tolerations=tolerations)) is expected


def test_in_a_manifest_only_workloads_that_could_come_are_changed() -> None:
    config = {"kind": "ConfigMap", "metadata": {"name": "c"}}
    made_for_edge = workload(nodeSelector={EDGE_LABEL: ""})
    done = all_off_edge([config, made_for_edge, workload()])
    assert done[:2] == [config, made_for_edge]
    assert reach(done[2]) is Reach.off
