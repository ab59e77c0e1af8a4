from __future__ import annotations

from typing import Any

import pytest
from tests.edgesite.manifests import deployment

from edgelab.edgesite.controllers.deployment import revisions, rollout
from edgelab.edgesite.controllers.deployment.rollout import Limits
from edgelab.kube.interface import Obj


def replica_set(name: str, replicas: int, available: int | None = None) -> Obj:
    return {
        "metadata": {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"replicas": replicas},
        "status": {"availableReplicas": replicas if available is None else available},
    }


@pytest.mark.parametrize(
    ("strategy", "replicas", "expected"),
    [
        ({"maxSurge": "25%", "maxUnavailable": "25%"}, 4, (1, 1)),
        ({"maxSurge": "25%", "maxUnavailable": "25%"}, 1, (1, 0)),
        ({"maxSurge": "25%", "maxUnavailable": "25%"}, 10, (3, 2)),
        ({"maxSurge": 0, "maxUnavailable": "1%"}, 10, (0, 1)),
        ({"maxSurge": 2, "maxUnavailable": 20}, 10, (2, 10)),
    ],
)
def test_limits_round_surge_up_and_unavailable_down(
    strategy: dict[str, Any], replicas: int, expected: tuple[int, int]
) -> None:
    made = deployment(replicas=replicas, strategy={"type": "RollingUpdate", "rollingUpdate": strategy})
    limit = rollout.limits(made)
    assert (limit.surge, limit.unavailable) == expected


@pytest.mark.parametrize(
    ("current", "total", "expected"), [(0, 10, 2), (2, 10, 4), (2, 12, 2), (9, 9, 10), (12, 12, 10)]
)
def test_the_new_size_stays_within_the_surge(current: int, total: int, expected: int) -> None:
    assert rollout.new_size(Limits(10, 2, 2, rolling=True), replica_set("new", current), total) == expected


def test_old_pods_that_are_not_available_go_first() -> None:
    old = [replica_set("a", 8, available=5)]
    assert rollout.old_sizes(Limits(10, 2, 2, rolling=True), replica_set("new", 4, available=2), old) == {
        "a": 6
    }


def test_old_pods_stay_while_new_ones_are_not_available() -> None:
    old = [replica_set("a", 8)]
    assert rollout.old_sizes(Limits(10, 2, 2, rolling=True), replica_set("new", 4, available=0), old) == {}


def test_a_resize_in_the_middle_is_shared_out() -> None:
    active = [replica_set("old", 6), replica_set("new", 3)]
    sizes = rollout.proportional(Limits(20, 0, 0, rolling=True), active, {"old": 9, "new": 9})
    assert sizes == {"old": 13, "new": 7}
    assert rollout.proportional(Limits(0, 0, 0, rolling=True), active, {"old": 9, "new": 9}) == {
        "old": 0,
        "new": 0,
    }


def test_the_hash_depends_on_the_template_and_on_collisions() -> None:
    template = deployment()["spec"]["template"]
    other = deployment(image="nginx:2")["spec"]["template"]
    hashes = {
        revisions.template_hash(template),
        revisions.template_hash(template, 1),
        revisions.template_hash(other),
    }
    assert len(hashes) == 3
    assert all(len(item) == 10 and item.isalnum() for item in hashes)


def test_templates_are_equal_apart_from_the_hash_label() -> None:
    made = revisions.new_replica_set(
        {**deployment(), "metadata": {"name": "web", "namespace": "default", "uid": "u"}}, 1, 2, 1
    )
    assert revisions.same_template(made["spec"]["template"], deployment()["spec"]["template"])
    assert not revisions.same_template(made["spec"]["template"], deployment(image="x")["spec"]["template"])
