"""Node groups and an application: one Deployment for each group, as its overriders say, by kubectl."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.lab import Lab, eventually

GROUPS = """
apiVersion: apps.kubeedge.io/v1alpha1
kind: NodeGroup
metadata: {name: hangzhou}
spec: {nodes: [edge1]}
---
apiVersion: apps.kubeedge.io/v1alpha1
kind: NodeGroup
metadata: {name: beijing}
spec: {matchLabels: {location: beijing}}
"""
APPLICATION = """
apiVersion: apps.kubeedge.io/v1alpha1
kind: EdgeApplication
metadata: {name: shop}
spec:
  workloadTemplate:
    manifests:
    - apiVersion: apps/v1
      kind: Deployment
      metadata: {name: shop}
      spec:
        replicas: 1
        selector: {matchLabels: {app: shop}}
        template:
          metadata: {labels: {app: shop}}
          spec:
            terminationGracePeriodSeconds: 1
            containers: [{name: web, image: "nowhere.example/nginx:1.22"}]
  workloadScope:
    targetNodeGroups:
    - name: hangzhou
      overriders:
        replicas: 2
        imageOverriders: [{component: Registry, operator: replace, value: edgelab.local}]
    - name: beijing
      overriders: {replicas: 3}
"""
GROUP = "apps.kubeedge.io/belonging-to"


@pytest.fixture(scope="module")
def groups(lab: Lab) -> Iterator[Lab]:
    """The lab with two groups, of which only one has a node, and an application for both."""
    settings = {"edgelab": {"controllerManager": {"enable": True}}}
    with lab.configured(cloudcore=settings), lab.objects(GROUPS), lab.objects(APPLICATION):
        yield lab


def deployments(lab: Lab) -> dict[str, tuple[str, str, int, int]]:
    """By name: the group that it is for, image, replicas that are wanted, and that are there."""

    def of(one: dict[str, Any]) -> tuple[str, str, int, int]:
        pod = one["spec"]["template"]["spec"]
        there = one.get("status", {}).get("availableReplicas", 0)
        return pod["nodeSelector"][GROUP], pod["containers"][0]["image"], one["spec"]["replicas"], there

    found = lab.get("deployments")["items"]
    return {one["metadata"]["name"]: of(one) for one in found if one["metadata"]["name"].startswith("shop")}


def test_the_node_belongs_to_its_group(groups: Lab) -> None:
    eventually(lambda: groups.get("node", "edge1")["metadata"]["labels"].get(GROUP) == "hangzhou", GROUP, 20)

    def selected() -> list[dict[str, Any]]:
        return groups.get("nodegroup", "hangzhou").get("status", {}).get("nodeStatuses") or []

    [one] = eventually(selected, "the group's status", 20)
    assert (one["nodeName"], one["readyStatus"], one["selectionStatus"]) == ("edge1", "Ready", "Succeeded")


def test_each_group_gets_a_deployment_as_its_overriders_say(groups: Lab) -> None:
    eventually(lambda: deployments(groups)["shop-hangzhou"][3] == 2, "two pods on edge1", 60)
    assert deployments(groups) == {
        "shop-hangzhou": ("hangzhou", "edgelab.local/nginx:1.22", 2, 2),
        "shop-beijing": ("beijing", "nowhere.example/nginx:1.22", 3, 0),
    }
    pods = groups.get("pods", "-l", "app=shop")["items"]
    nodes = sorted(pod["spec"].get("nodeName", "") for pod in pods)
    assert nodes == ["", "", "", "edge1", "edge1"]

    def told() -> dict[str, str]:
        status = groups.get("edgeapplication", "shop")["status"]["workloadStatus"]
        return {one["identifier"]["name"]: one["conditions"] for one in status}

    wanted = {"shop-hangzhou": "Available", "shop-beijing": "Processing"}
    eventually(lambda: told() == wanted, "the application's status", 20)


def test_its_deployments_go_with_the_application(groups: Lab) -> None:
    groups.kubectl("delete", "edgeapplication", "shop")
    eventually(lambda: not deployments(groups), "no Deployment", 30)
    eventually(lambda: not groups.get("pods", "-l", "app=shop")["items"], "no pod", 60)
