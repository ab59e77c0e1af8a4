from __future__ import annotations

from typing import Any

import pytest
from tests.edgesite.manifests import pod

from edgelab.edgesite.scheduler.demand import demand
from edgelab.edgesite.scheduler.nodes import matches_node, tolerates
from edgelab.kube.interface import Obj


def node(name: str = "n1", *, labels: dict[str, str] | None = None) -> Obj:
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {}}


def affinity(*expressions: dict[str, Any]) -> Obj:
    required = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    return pod("p", affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})


def asking(**requests: str) -> Obj:
    made = pod("p")
    made["spec"]["containers"][0]["resources"] = {"requests": requests}
    return made


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "zone", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "missing", "operator": "NotIn", "values": ["a"]}, True),
        ({"key": "zone", "operator": "Exists"}, True),
        ({"key": "missing", "operator": "DoesNotExist"}, True),
        ({"key": "cores", "operator": "Gt", "values": ["3"]}, True),
        ({"key": "cores", "operator": "Lt", "values": ["3"]}, False),
        ({"key": "zone", "operator": "Gt", "values": ["3"]}, False),
        ({"key": "zone", "operator": "Unknown"}, False),
    ],
)
def test_affinity_operators(expression: dict[str, Any], fits: bool) -> None:
    assert matches_node(affinity(expression), node(labels={"zone": "a", "cores": "4"})) is fits


def test_terms_are_alternatives_and_an_empty_one_matches_nothing() -> None:
    assert not matches_node(affinity(), node())
    made = affinity({"key": "x", "operator": "Exists"})
    required = made["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    required["nodeSelectorTerms"].append(
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    )
    assert matches_node(made, node())


@pytest.mark.parametrize(
    ("toleration", "covers"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "edge", "operator": "Exists"}, True),
        ({"key": "edge", "value": "yes"}, True),
        ({"key": "edge", "operator": "Equal", "value": "no"}, False),
        ({"key": "edge", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "edge", "operator": "Lt", "value": "yes"}, False),
    ],
)
def test_tolerations(toleration: dict[str, str], covers: bool) -> None:
    assert tolerates(toleration, {"key": "edge", "value": "yes", "effect": "NoSchedule"}) is covers


def test_init_containers_count_by_their_peak_and_sidecars_stay() -> None:
    made = asking(cpu="100m")
    made["spec"]["initContainers"] = [
        {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
        {"name": "big", "resources": {"requests": {"cpu": "300m", "memory": "1Gi"}}},
    ]
    made["spec"]["overhead"] = {"memory": "1Mi"}
    assert demand(made).requests == {"cpu": 350, "memory": (1 << 30) + (1 << 20)}


def test_containers_without_requests_count_when_nodes_are_compared() -> None:
    assert demand(pod("p"))[:3] == ({}, 100, 200 << 20)
    made = asking(cpu="1")
    made["spec"]["containers"].append({"name": "d", "resources": {}})
    assert demand(made)[:3] == ({"cpu": 1000}, 1100, 400 << 20)
    made["spec"]["resources"] = {"requests": {"cpu": "2"}}
    assert demand(made)[:3] == ({"cpu": 2000}, 2000, 400 << 20)


def test_what_a_node_has_granted_counts_until_a_resize_is_done() -> None:
    made = asking(cpu="100m")
    granted = {"name": "c", "resources": {"requests": {"cpu": "500m"}}, "allocatedResources": {"cpu": "300m"}}
    made["status"]["containerStatuses"] = [granted]
    assert demand(made).requests == {"cpu": 100}
    assert demand(made, placed=True).requests == {"cpu": 500}
    made["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "2"
    assert demand(made, placed=True).requests == {"cpu": 2000}
    made["status"]["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]
    assert demand(made, placed=True).requests == {"cpu": 500}
