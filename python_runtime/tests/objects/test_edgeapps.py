"""Node groups and applications: who is selected, what is made of a manifest, and what is wrong with one."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.objects.edgeapps import groups, images, overriders
from edgelab.objects.edgeapps.expansion import expand, suffix_of
from edgelab.objects.edgeapps.names import BELONGING_TO, NODE_GROUP, SERVICE_TOPOLOGY, ZONE
from edgelab.objects.edgeapps.status import identifier, is_available, workload_status

Obj = dict[str, Any]


def node(name: str, ready: str = "True", **labels: str) -> Obj:
    marks = {key.replace("_", "/"): value for key, value in labels.items()}
    return {
        "metadata": {"name": name, "labels": marks},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def group(name: str, **spec: Any) -> Obj:
    return {"metadata": {"name": name}, "spec": spec}


def member(name: str, of: str, **labels: str) -> Obj:
    found = node(name, **labels)
    found["metadata"]["labels"][BELONGING_TO] = of
    return found


def deployment(**pod: Any) -> Obj:
    containers = [{"name": "web", "image": "docker.io/library/nginx:1.22", "args": ["-a", "-b"]}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "nginx", "uid": "old", "annotations": {"a": "b"}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": containers, **pod}}},
        "status": {"replicas": 3},
    }


def application(*manifests: Obj, groups: Any = (), labels: Any = ()) -> Obj:
    return {
        "metadata": {"name": "app", "namespace": "shop", "uid": "u1"},
        "spec": {
            "workloadTemplate": {"manifests": list(manifests)},
            "workloadScope": {"targetNodeGroups": list(groups), "targetNodeLabels": list(labels)},
        },
    }


def made(app: Obj) -> dict[str, Obj]:
    found, problems = expand(app)
    assert problems == []
    return {one.object["metadata"]["name"]: one.object for one in found}


# Groups.


def test_a_group_selects_by_name_and_by_labels_and_nothing_without_either() -> None:
    by_name, by_label, by_none = group("a", nodes=["n1"]), group("b", matchLabels={"site": "x"}), group("c")
    assert [groups.selects(one, node("n1")) for one in (by_name, by_label, by_none)] == [True, False, False]
    assert groups.selects(by_label, node("n2", site="x"))
    assert not groups.selects(group("d", matchLabels={}), node("n2", site="x"))


def test_a_node_stays_with_its_group_but_not_with_one_that_is_gone() -> None:
    mine = group("a", nodes=["n1"])
    assert groups.kept_by(mine, member("n1", "b"), {"a": mine, "b": group("b")}) == "b"
    assert groups.kept_by(mine, member("n1", "b"), {"a": mine}) is None
    assert groups.kept_by(mine, member("n1", "a"), {"a": mine}) is None


def test_joining_and_leaving_touch_the_group_s_own_labels_only() -> None:
    assert groups.joined(group("a"), node("n1")) == {BELONGING_TO: "a"}
    zoned = group("a", topologyEnabled=True)
    assert groups.joined(zoned, node("n1")) == {BELONGING_TO: "a", ZONE: "a"}
    assert groups.joined(group("a"), member("n1", "a", **{ZONE: "a"})) == {ZONE: None}
    assert groups.joined(group("a"), member("n1", "a", **{ZONE: "rack-7"})) == {}
    assert groups.left("a", member("n1", "a", **{ZONE: "a"})) == {BELONGING_TO: None, ZONE: None}
    assert groups.left("a", member("n1", "a", **{ZONE: "rack-7"})) == {BELONGING_TO: None}


def test_the_status_names_every_node_selected_or_named() -> None:
    one = group("a", nodes=["n3", "n1"])
    found = groups.statuses(one, [node("n2", "False"), node("n1"), node("n4", "Unknown")], {"n2": "taken"})
    assert [(status["nodeName"], status["readyStatus"], status["selectionStatus"]) for status in found] == [
        ("n1", "Ready", "Succeeded"),
        ("n2", "NotReady", "Failed"),
        ("n3", "Unknown", "Failed"),
        ("n4", "Unknown", "Succeeded"),
    ]
    assert found[1]["selectionStatusReason"] == "taken"
    assert found[2]["selectionStatusReason"] == "node does not exist"


# Images.


@pytest.mark.parametrize(
    ("image", "component", "operator", "value", "result"),
    [
        ("nginx", "Registry", "add", "hz.example", "hz.example/nginx"),
        (
            "docker.io/library/nginx:1.22",
            "Registry",
            "replace",
            "hz.example:5000",
            "hz.example:5000/library/nginx:1.22",
        ),
        ("docker.io/library/nginx:1.22", "Registry", "remove", "", "library/nginx:1.22"),
        ("localhost/nginx", "Registry", "remove", "", "nginx"),
        ("library/nginx:1.22", "Registry", "remove", "", "library/nginx:1.22"),
        ("docker.io/library/nginx:1.22", "Repository", "replace", "edge/nginx", "docker.io/edge/nginx:1.22"),
        ("nginx:1.22", "Repository", "add", "-arm", "nginx-arm:1.22"),
        ("nginx", "Tag", "add", "1.25", "nginx:1.25"),
        ("nginx:1.22", "Tag", "add", "-alpine", "nginx:1.22-alpine"),
        ("nginx:1.22", "Tag", "remove", "", "nginx"),
        ("nginx:1.22", "Tag", "replace", "@sha256:12", "nginx@sha256:12"),
        ("reg:5000/nginx@sha256:12", "Tag", "replace", "2", "reg:5000/nginx:2"),
    ],
)
def test_one_part_of_an_image_changes(
    image: str, component: str, operator: str, value: str, result: str
) -> None:
    assert images.change(image, component, operator, value) == result


def test_an_image_without_a_repository_is_an_error() -> None:
    with pytest.raises(ValueError, match="without a repository"):
        images.change("nginx:1", "Repository", "remove", "")
    with pytest.raises(ValueError, match="no image"):
        images.change("", "Tag", "add", "1")


# Expansion.


def test_a_deployment_is_made_for_each_target_and_differs_as_told() -> None:
    app = application(
        deployment(nodeSelector={"disk": "ssd"}),
        groups=[
            {
                "name": "hangzhou",
                "overriders": {
                    "replicas": 2,
                    "imageOverriders": [
                        {"component": "Registry", "operator": "replace", "value": "hz.example"}
                    ],
                    "argsOverriders": [{"containerName": "web", "operator": "remove", "value": ["-a"]}],
                    "commandOverriders": [{"containerName": "web", "operator": "add", "value": ["run"]}],
                },
            },
            {"name": "beijing"},
        ],
    )
    found = made(app)
    assert sorted(found) == ["nginx-beijing", "nginx-hangzhou"]
    hangzhou, beijing = found["nginx-hangzhou"], found["nginx-beijing"]
    pod = hangzhou["spec"]["template"]["spec"]
    assert hangzhou["spec"]["replicas"] == 2
    assert pod["containers"] == [
        {"name": "web", "image": "hz.example/library/nginx:1.22", "args": ["-b"], "command": ["run"]}
    ]
    assert pod["nodeSelector"] == {"disk": "ssd", BELONGING_TO: "hangzhou"}
    assert beijing["spec"]["replicas"] == 1
    assert beijing["spec"]["template"]["spec"]["containers"][0]["image"] == "docker.io/library/nginx:1.22"
    assert "status" not in hangzhou
    assert hangzhou["metadata"]["namespace"] == "shop"
    assert "uid" not in hangzhou["metadata"]
    [owner] = hangzhou["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
        "EdgeApplication",
        "app",
        "u1",
        True,
    )


def test_a_label_target_demands_its_labels_besides_what_is_demanded() -> None:
    zone = {"key": "zone", "operator": "Exists"}
    required = {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    selector = {"matchLabels": {"tier": "gold"}}
    [(name, workload)] = made(
        application(deployment(affinity=affinity), labels=[{"labelSelector": selector}])
    ).items()
    assert name == f"nginx-{suffix_of(selector)}"
    pod = workload["spec"]["template"]["spec"]
    terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    gold = {"key": "tier", "operator": "In", "values": ["gold"]}
    assert terms["nodeSelectorTerms"] == [{"matchExpressions": [zone, gold]}]


def test_the_suffix_of_labels_is_the_original_s() -> None:
    # sha256 of "tiergold", four bytes of it, as KubeEdge's nameoverrider.go has it.
    assert suffix_of({"matchLabels": {"tier": "gold"}}) == "ls-f6a0f4aa"


def test_services_are_made_once_for_the_nodes_of_a_group_and_the_rest_as_it_is() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"a": "b"}}
    found, problems = expand(application(service, config, groups=[{"name": "a"}, {"name": "b"}]))
    assert problems == []
    assert [one.ordinal for one in found] == [0, 1]
    assert found[0].object["metadata"]["annotations"] == {SERVICE_TOPOLOGY: NODE_GROUP}
    assert found[1].object["data"] == {"a": "b"}
    assert "annotations" not in found[1].object["metadata"]


def test_variables_keep_their_order_and_resources_what_is_not_changed() -> None:
    workload = deployment()
    [web] = workload["spec"]["template"]["spec"]["containers"]
    web["env"] = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "value": "3"}]
    web["resources"] = {"limits": {"cpu": "1", "memory": "1Gi"}}
    overriders.apply(
        workload,
        {
            "envOverriders": [
                {"containerName": "web", "operator": "replace", "value": [{"name": "A", "value": "9"}]},
                {"containerName": "web", "operator": "remove", "value": [{"name": "B"}]},
                {"containerName": "web", "operator": "add", "value": [{"name": "D", "value": "4"}]},
            ],
            "resourcesOverriders": [{"containerName": "web", "value": {"limits": {"cpu": "100m"}}}],
        },
    )
    assert [(one["name"], one["value"]) for one in web["env"]] == [("A", "9"), ("C", "3"), ("D", "4")]
    assert web["resources"] == {"limits": {"cpu": "100m", "memory": "1Gi"}}


def test_a_predicate_changes_the_image_that_it_leads_to() -> None:
    workload = deployment(initContainers=[{"name": "init", "image": "busybox:1"}])
    path = "/spec/template/spec/initContainers/0/image"
    tag = {"component": "Tag", "operator": "replace", "value": "2", "predicate": {"path": path}}
    overriders.apply(workload, {"imageOverriders": [tag]})
    pod = workload["spec"]["template"]["spec"]
    assert pod["initContainers"][0]["image"] == "busybox:2"
    assert pod["containers"][0]["image"] == "docker.io/library/nginx:1.22"


@pytest.mark.parametrize(
    ("app", "field", "text"),
    [
        (application({"kind": "X", "metadata": {"name": "x"}}), "manifests[0].apiVersion", "is needed"),
        (application({"apiVersion": "v1", "kind": "X"}), "manifests[0].metadata.name", "is needed"),
        (
            application(
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": "kube-system"}}
            ),
            "manifests[0].metadata.namespace",
            "own namespace",
        ),
        (
            application(
                {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "x"}}
            ),
            "manifests[0].apiVersion",
            "apply them yourself",
        ),
        (application(deployment()), "spec.workloadScope", "no target"),
        (application(deployment(), groups=[{}]), "targetNodeGroups[0].name", "is needed"),
        (application(deployment(), groups=[{"name": "a"}] * 2), "targetNodeGroups[1].name", "already"),
        (
            application(deployment(), labels=[{"labelSelector": {}}]),
            "targetNodeLabels[0].labelSelector",
            "is empty",
        ),
        (
            application(
                deployment(),
                labels=[{"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}],
            ),
            "targetNodeLabels[0].labelSelector",
            "'Near' is no operator",
        ),
        (
            application(
                deployment(),
                groups=[
                    {
                        "name": "a",
                        "overriders": {"imageOverriders": [{"component": "Tag", "operator": "add"}]},
                    }
                ],
            ),
            "targetNodeGroups[0].overriders.imageOverriders[0].value",
            "is needed to add",
        ),
        (
            application(
                deployment(),
                groups=[
                    {
                        "name": "a",
                        "overriders": {
                            "imageOverriders": [
                                {
                                    "component": "Tag",
                                    "operator": "remove",
                                    "predicate": {"path": "/spec/replicas"},
                                }
                            ]
                        },
                    }
                ],
            ),
            "imageOverriders[0].predicate.path",
            "leads to no image",
        ),
        (
            application(
                deployment(),
                groups=[
                    {
                        "name": "a",
                        "overriders": {
                            "argsOverriders": [{"containerName": "wev", "operator": "add", "value": ["x"]}]
                        },
                    }
                ],
            ),
            "targetNodeGroups[0].overriders",
            "no Deployment has a container 'wev'",
        ),
        (
            application(*[{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}] * 2),
            "manifests[1]",
            "is there already",
        ),
    ],
)
def test_what_is_wrong_is_said_by_field(app: Obj, field: str, text: str) -> None:
    problems = expand(app).problems
    assert any(field in problem and text in problem for problem in problems), problems


# Status.


def test_a_deployment_is_available_when_its_last_change_is() -> None:
    live = deployment()
    live["metadata"]["generation"] = 2
    live["status"] = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
    assert is_available(live)
    assert not is_available(None)
    for change in ({"observedGeneration": 1}, {"updatedReplicas": 0}, {"readyReplicas": 0}, {"replicas": 2}):
        assert not is_available({**live, "status": {**live["status"], **change}})
    assert is_available({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}})


def test_a_manifest_without_an_object_has_an_entry_of_its_place() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "shop"}}
    name = identifier(1, config, "configmaps")
    assert name["version"] == "v1"
    assert workload_status([(name, True)], 2) == [
        {"identifier": {"ordinal": 0}, "conditions": "Processing"},
        {"identifier": name, "conditions": "Available"},
    ]
