from __future__ import annotations

from typing import Any

import pytest
from tests.edgesite.manifests import pod

from edgelab.edgesite.scheduler.demand import Load
from edgelab.edgesite.scheduler.ledger import Ledger
from edgelab.edgesite.scheduler.neighbours import Neighbours, Place
from edgelab.kube.interface import Obj

NAMESPACES = {"default": {"team": "a"}, "other": {"team": "b"}}


def node(name: str, zone: str | None) -> Obj:
    labels = {"kubernetes.io/hostname": name, **({"zone": zone} if zone else {})}
    return {"metadata": {"name": name, "labels": labels}}


NODES = [node("n1", "a"), node("n2", "a"), node("n3", "b"), node("n4", None)]


def fitting(made: Obj, placed: dict[str, list[Obj]]) -> list[str]:
    ledger = Ledger()
    for name, pods in placed.items():
        for item in pods:
            ledger.put(item, name)
    places = [Place(item, ledger.load(item["metadata"]["name"])) for item in NODES]
    neighbours = Neighbours(made, places, lambda name: NAMESPACES[name])
    return [item["metadata"]["name"] for item in NODES if neighbours.refusal(item) is None]


def term(app: str, key: str = "zone", **more: Any) -> Obj:
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}, **more}


def wanting(kind: str, *terms: Obj, app: str = "me") -> Obj:
    affinity = {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}
    return pod("p", labels={"app": app}, affinity=affinity)


def web(name: str = "web", namespace: str = "default") -> Obj:
    made = pod(name, labels={"app": "web"})
    made["metadata"]["namespace"] = namespace
    return made


def test_affinity_keeps_to_the_domain_of_the_other() -> None:
    assert fitting(wanting("podAffinity", term("web")), {"n1": [web()]}) == ["n1", "n2"]
    hostname = term("web", "kubernetes.io/hostname")
    assert fitting(wanting("podAffinity", hostname), {"n1": [web()]}) == ["n1"]
    assert fitting(wanting("podAffinity", term("web")), {}) == []


def test_the_first_of_a_group_may_go_anywhere_in_a_domain() -> None:
    assert fitting(wanting("podAffinity", term("me")), {}) == ["n1", "n2", "n3"]


def test_anti_affinity_avoids_the_domain_of_the_other() -> None:
    assert fitting(wanting("podAntiAffinity", term("web")), {"n1": [web()]}) == ["n3", "n4"]


def test_pods_that_guard_themselves_keep_newcomers_away() -> None:
    guard = wanting("podAntiAffinity", term("web"), app="guard")
    assert fitting(web(), {"n3": [guard]}) == ["n1", "n2", "n4"]
    assert fitting(pod("x", labels={"app": "x"}), {"n3": [guard]}) == ["n1", "n2", "n3", "n4"]


@pytest.mark.parametrize(
    ("more", "avoided"),
    [
        ({}, False),
        ({"namespaces": ["other"]}, True),
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "b"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"team": "c"}}}, False),
    ],
)
def test_terms_speak_of_the_namespaces_that_they_name(more: dict[str, Any], avoided: bool) -> None:
    made = wanting("podAntiAffinity", term("web", **more))
    assert ("n1" not in fitting(made, {"n1": [web(namespace="other")]})) is avoided


def spreading(**more: Any) -> Obj:
    constraint = {
        "maxSkew": 1,
        "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
        **more,
    }
    return pod("p", labels={"app": "web"}, topologySpreadConstraints=[constraint])


def test_spread_allows_no_more_than_the_skew() -> None:
    assert fitting(spreading(), {}) == ["n1", "n2", "n3"]
    assert fitting(spreading(), {"n1": [web()]}) == ["n3"]
    assert fitting(spreading(maxSkew=2), {"n1": [web()]}) == ["n1", "n2", "n3"]
    assert fitting(spreading(), {"n1": [web("a")], "n3": [web("b")]}) == ["n1", "n2", "n3"]
    assert fitting(spreading(minDomains=3), {"n1": [web("a")], "n3": [web("b")]}) == []


def test_other_namespaces_and_other_revisions_do_not_count() -> None:
    assert fitting(spreading(), {"n1": [web(namespace="other")]}) == ["n1", "n2", "n3"]
    made = spreading(matchLabelKeys=["pod-template-hash"])
    made["metadata"]["labels"]["pod-template-hash"] = "new"
    assert fitting(made, {"n1": [web()]}) == ["n1", "n2", "n3"]


def test_preferences_order_nodes_without_refusing_any() -> None:
    preferred = [{"weight": 10, "podAffinityTerm": term("web")}]
    made = pod("p", affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}})
    load = Load()
    load.members["u"] = web()
    places = [Place(NODES[0], load), Place(NODES[2], Load())]
    neighbours = Neighbours(made, places, lambda name: NAMESPACES[name])
    assert neighbours.refusal(NODES[2]) is None
    assert neighbours.wish(NODES[0]) > neighbours.wish(NODES[2])
    loose = spreading(whenUnsatisfiable="ScheduleAnyway")
    neighbours = Neighbours(loose, places, lambda name: NAMESPACES[name])
    assert neighbours.refusal(NODES[0]) is None
    assert neighbours.wish(NODES[0]) < neighbours.wish(NODES[2])
