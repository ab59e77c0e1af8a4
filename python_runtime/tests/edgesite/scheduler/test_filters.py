from __future__ import annotations

from typing import Any

import pytest
from tests.edgesite.manifests import pod

from edgelab.edgesite.scheduler.demand import Load, demand
from edgelab.edgesite.scheduler.filters import check, explain
from edgelab.edgesite.scheduler.nodes import matches_node, tolerates
from edgelab.edgesite.scheduler.scores import Candidate, best
from edgelab.kube.interface import Obj


def node(name: str = "n1", *, labels: dict[str, str] | None = None, spec: Any = None, **offer: str) -> Obj:
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec or {},
        "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "10", **offer}},
    }


def asking(**requests: str) -> Obj:
    made = pod("p")
    made["spec"]["containers"][0]["resources"] = {"requests": requests}
    return made


def refusal(made: Obj, where: Obj, load: Load | None = None) -> tuple[str, ...]:
    found = check(made, demand(made), where, load or Load())
    return found.reasons if found else ()


def affinity(*expressions: dict[str, Any]) -> Obj:
    required = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    return pod("p", affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})


@pytest.mark.parametrize(
    ("made", "where", "reason"),
    [
        (pod("p"), node(), ()),
        (pod("p"), node(spec={"unschedulable": True}), ("node(s) were unschedulable",)),
        (
            pod("p", nodeSelector={"a": "b"}),
            node(labels={"a": "c"}),
            ("node(s) didn't match Pod's node affinity/selector",),
        ),
        (
            pod("p"),
            node(spec={"taints": [{"key": "edge", "value": "yes", "effect": "NoSchedule"}]}),
            ("node(s) had untolerated taint {edge: yes}",),
        ),
        (pod("p"), node(spec={"taints": [{"key": "edge", "effect": "PreferNoSchedule"}]}), ()),
        (asking(cpu="2"), node(), ("Insufficient cpu",)),
        (asking(cpu="2", memory="2Gi"), node(), ("Insufficient cpu", "Insufficient memory")),
        (asking(**{"example.com/gpu": "1"}), node(), ("Insufficient example.com/gpu",)),
        (pod("p"), node(pods="0"), ("Too many pods",)),
        (pod("p", nodeName="other"), node(), ("node(s) didn't match the requested node name",)),
    ],
)
def test_a_node_is_refused_for_the_reason_users_know(made: Obj, where: Obj, reason: tuple[str, ...]) -> None:
    assert refusal(made, where) == reason


def test_what_is_on_the_node_counts() -> None:
    load = Load()
    load.add(demand(asking(cpu="600m", memory="100Mi")), "")
    assert refusal(asking(cpu="400m"), node(), load) == ()
    assert refusal(asking(cpu="401m"), node(), load) == ("Insufficient cpu",)


def test_host_ports_conflict_by_address_protocol_and_number() -> None:
    def wanting(**port: Any) -> Obj:
        made = pod("p")
        made["spec"]["containers"][0]["ports"] = [{"containerPort": 80, **port}]
        return made

    load = Load()
    load.add(demand(wanting(hostPort=8080, hostIP="10.0.0.1")), "")
    reason = ("node(s) didn't have free ports for the requested pod ports",)
    assert refusal(wanting(hostPort=8080), node(), load) == reason
    assert refusal(wanting(hostPort=8080, hostIP="10.0.0.1"), node(), load) == reason
    assert refusal(wanting(hostPort=8080, hostIP="10.0.0.2"), node(), load) == ()
    assert refusal(wanting(hostPort=8080, protocol="UDP"), node(), load) == ()
    assert refusal(wanting(), node(), load) == ()


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


def test_the_explanation_counts_reasons_and_says_whether_preemption_helps() -> None:
    nodes = [node("a", labels={"x": "1"}), node("b"), node("c", cpu="10m")]
    made = asking(cpu="500m")
    made["spec"]["nodeSelector"] = {"x": "2"}
    refusals = [found for where in nodes if (found := check(made, demand(made), where, Load()))]
    assert explain(refusals) == (
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )
    made["spec"]["nodeSelector"] = {}
    refusals = [found for where in nodes[2:] if (found := check(made, demand(made), where, Load()))]
    assert explain(refusals) == (
        "0/1 nodes are available: 1 Insufficient cpu. "
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )
    assert explain([]) == "no nodes available to schedule pods"


def test_the_emptier_node_is_better_and_replicas_go_apart() -> None:
    made, full = asking(cpu="100m"), Load()
    full.add(demand(asking(cpu="700m")), "")
    assert best(made, demand(made), "", [Candidate(node("a"), full), Candidate(node("b"), Load())]) == node(
        "b"
    )
    twin = Load()
    twin.add(demand(made), "owner")
    pair = [Candidate(node("a"), twin), Candidate(node("b"), full)]
    assert best(made, demand(made), "owner", pair) == node("b")
    preferred = [{"weight": 100, "preference": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}}]
    made["spec"]["affinity"] = {
        "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
    }
    pair = [Candidate(node("a", labels={"x": ""}), full), Candidate(node("b"), Load())]
    assert best(made, demand(made), "", pair)["metadata"]["name"] == "a"
