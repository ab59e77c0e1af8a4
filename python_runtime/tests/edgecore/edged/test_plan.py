"""What edged decides to do next; covers restart policies, init containers, sidecars and probes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.edgecore.edged.samples import container, exited, pod, running

from edgelab.edgecore.edged import plan, state
from edgelab.edgecore.edged.state import PodState

HEALTHY = plan.Health(lambda _: "", lambda found: found.running)


def starts(steps: plan.Plan) -> list[str]:
    return [spec["name"] for spec in steps.start]


def test_new_pod_gets_a_sandbox_and_its_containers() -> None:
    steps = plan.make(pod(), PodState("u-1"), HEALTHY)
    assert (steps.new_sandbox, steps.attempt, starts(steps)) == (True, 0, ["main"])


def test_running_pod_of_the_same_description_is_left_alone() -> None:
    steps = plan.make(pod(), running(container()), HEALTHY)
    assert steps == plan.Plan()


def test_fields_other_than_name_and_image_do_not_restart_a_container() -> None:
    described = pod({"name": "main", "image": "nginx:1", "env": [{"name": "NEW", "value": "1"}]})
    assert plan.make(described, running(container()), HEALTHY) == plan.Plan()


def test_changed_image_replaces_the_container() -> None:
    steps = plan.make(pod({"name": "main", "image": "nginx:2"}), running(container()), HEALTHY)
    assert [found.id for found, _ in steps.kill] == ["main-0"]
    assert starts(steps) == ["main"]


def test_lost_sandbox_is_replaced_under_the_next_attempt() -> None:
    steps = plan.make(pod(), running(exited(code=255), ready=False, attempt=3), HEALTHY)
    assert (steps.new_sandbox, steps.attempt, starts(steps)) == (True, 4, ["main"])


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 1, False),
    ],
)
def test_restart_policy_decides_after_an_exit(policy: str, code: int, again: bool) -> None:
    steps = plan.make(pod(restartPolicy=policy), running(exited(code=code)), HEALTHY)
    assert bool(steps.start) is again
    assert steps.stop_pod is not again


def test_never_restarting_pod_is_not_run_twice_after_a_reboot() -> None:
    steps = plan.make(pod(restartPolicy="Never"), running(exited(code=255), ready=False), HEALTHY)
    assert (steps.new_sandbox, steps.start) == (True, []) or not steps.start


def test_container_that_is_not_well_is_killed_and_started_again() -> None:
    sick = plan.Health(lambda _: "liveness", lambda _: True)
    steps = plan.make(pod(), running(container()), sick)
    assert "liveness" in steps.kill[0][1]
    assert starts(steps) == ["main"]


INIT: list[dict[str, Any]] = [{"name": "one", "image": "i"}, {"name": "two", "image": "i"}]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], ["one"]),
        ([container("one", image="i")], []),
        ([exited("one", image="i")], ["two"]),
        ([exited("one", 1, image="i")], ["one"]),
        ([exited("one", image="i"), exited("two", image="i")], ["main"]),
    ],
)
def test_init_containers_run_one_after_the_other(found: list[Any], expected: list[str]) -> None:
    steps = plan.make(pod(initContainers=INIT), running(*found), HEALTHY)
    assert starts(steps) == expected


def test_failed_init_container_ends_a_pod_that_never_restarts() -> None:
    described = pod(initContainers=INIT, restartPolicy="Never")
    steps = plan.make(described, running(exited("one", 1, image="i")), HEALTHY)
    assert steps.stop_pod
    assert not steps.start


def test_init_containers_are_not_repeated_once_the_app_has_begun() -> None:
    described = pod(initContainers=INIT)
    assert plan.make(described, running(container()), HEALTHY) == plan.Plan()


def test_sidecar_must_have_started_before_the_app_and_restarts_beside_it() -> None:
    sidecar = {"name": "side", "image": "i", "restartPolicy": "Always"}
    described = pod(initContainers=[sidecar])
    waiting = plan.Health(lambda _: "", lambda _: False)
    assert starts(plan.make(described, running(), HEALTHY)) == ["side"]
    assert starts(plan.make(described, running(container("side", image="i")), waiting)) == []
    assert starts(plan.make(described, running(container("side", image="i")), HEALTHY)) == ["main"]
    both = running(exited("side", 1, image="i"), container())
    assert starts(plan.make(described, both, HEALTHY)) == ["side"]


def test_container_in_unknown_state_is_killed_before_its_successor_starts() -> None:
    steps = plan.make(pod(), running(container(state=state.UNKNOWN)), HEALTHY)
    assert [found.id for found, _ in steps.kill] == ["main-0"]
    assert starts(steps) == ["main"]


SIDE = {"name": "side", "image": "i", "restartPolicy": "Always"}


def test_sidecar_in_the_middle_lets_the_next_init_container_start_beside_it() -> None:
    described = pod(initContainers=[INIT[0], SIDE, INIT[1]])
    one, side = exited("one", image="i"), container("side", image="i")
    assert starts(plan.make(described, running(one), HEALTHY)) == ["side"]
    assert starts(plan.make(described, running(one, side), HEALTHY)) == ["two"]
    dead = exited("side", 1, image="i")
    working = container("two", image="i")
    assert starts(plan.make(described, running(one, dead, working), HEALTHY)) == ["side"]


def test_all_dead_sidecars_are_started_again_in_their_order() -> None:
    other = {**SIDE, "name": "other"}
    described = pod(initContainers=[SIDE, other])
    found = running(exited("side", image="i"), exited("other", image="i"), container())
    assert starts(plan.make(described, found, HEALTHY)) == ["side", "other"]


def test_sidecars_are_not_kept_once_the_app_is_done() -> None:
    described = pod(initContainers=[SIDE], restartPolicy="Never")
    steps = plan.make(described, running(container("side", image="i"), exited()), HEALTHY)
    assert (steps.stop_pod, steps.start) == (True, [])


@pytest.mark.parametrize(
    ("broken", "text"),
    [("liveness", "Init container side failed liveness probe"), ("startup", "failed startup probe")],
)
def test_sick_sidecar_is_replaced(broken: str, text: str) -> None:
    sick = plan.Health(lambda found: broken if found.name == "side" else "", lambda _: broken != "startup")
    steps = plan.make(pod(initContainers=[SIDE]), running(container("side", image="i")), sick)
    assert text in steps.kill[0][1]
    assert starts(steps) == (["side", "main"] if broken == "liveness" else ["side"])


def test_debug_container_starts_at_any_time_and_only_once() -> None:
    described = pod(initContainers=INIT, ephemeralContainers=[{"name": "shell", "image": "i"}])
    assert starts(plan.make(described, running(container("one", image="i")), HEALTHY)) == ["shell"]
    begun = [container("one", image="i"), exited("shell", 1, image="i")]
    assert starts(plan.make(described, running(*begun), HEALTHY)) == []


def test_debug_container_does_not_keep_a_pod_alive() -> None:
    described = pod(ephemeralContainers=[{"name": "shell", "image": "i"}], restartPolicy="Never")
    steps = plan.make(described, running(exited(), container("shell", image="i")), HEALTHY)
    assert steps.stop_pod
    assert not steps.start


def test_probe_failure_of_a_pod_that_never_restarts_only_kills() -> None:
    sick = plan.Health(lambda _: "liveness", lambda _: True)
    steps = plan.make(pod(restartPolicy="Never"), running(container()), sick)
    assert steps.kill[0][1] == "Container main failed liveness probe"
    assert not steps.start
