"""Pod statuses in the kubelet's words."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from tests.edgecore.edged.samples import START, container, exited, pod, running

from edgelab.edgecore.edged import status
from edgelab.edgecore.edged.problems import ContainerProblem
from edgelab.edgecore.edged.reports import patch_of
from edgelab.edgecore.edged.state import PodState
from edgelab.edgecore.edged.termination import termination_message
from edgelab.edgecore.edged.views import View

NOW = dt.datetime(2026, 11, 21, 10, 0, 10, tzinfo=dt.UTC)
Obj = dict[str, Any]


def view(described: Obj, state: PodState, **more: Any) -> View:
    def up(_: Obj, found: Any) -> bool:
        return found is not None and found.running

    return View(pod=described, state=state, host_ip="192.168.1.20", now=NOW, ready=up, started=up, **more)


def made(described: Obj, state: PodState, **more: Any) -> Obj:
    return status.pod_status(view(described, state, **more))


def condition(found: Obj, kind: str) -> Obj:
    return next(c for c in found["conditions"] if c["type"] == kind)


def test_pod_before_its_sandbox_is_pending() -> None:
    found = made(pod(), PodState("u-1"))
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert condition(found, "PodReadyToStartContainers")["status"] == "False"
    ready = condition(found, "Ready")
    assert (ready["reason"], ready["message"]) == (
        "ContainersNotReady",
        "containers with unready status: [main]",
    )


def test_running_pod_is_ready_with_its_addresses() -> None:
    found = made(pod(), running(container()))
    assert (found["phase"], found["podIP"], found["hostIP"]) == ("Running", "10.0.0.2", "192.168.1.20")
    assert condition(found, "Ready") == {
        "type": "Ready",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": "2026-11-21T10:00:10Z",
    }
    assert found["containerStatuses"][0]["containerID"] == "containerd://main-0"
    assert found["qosClass"] == "BestEffort"


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [
        ("Always", 0, "Running"),
        ("Always", 1, "Running"),
        ("OnFailure", 1, "Running"),
        ("OnFailure", 0, "Succeeded"),
        ("Never", 0, "Succeeded"),
        ("Never", 1, "Failed"),
    ],
)
def test_phase_after_the_only_container_ended(policy: str, code: int, phase: str) -> None:
    assert made(pod(restartPolicy=policy), running(exited(code=code)))["phase"] == phase


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (137, "Failed")])
def test_deleted_pod_ends_in_a_terminal_phase(code: int, phase: str) -> None:
    assert made(pod(), running(exited(code=code)), ending=True)["phase"] == phase


def test_crash_loop_shows_the_wait_and_the_last_end() -> None:
    problem = ContainerProblem("CrashLoopBackOff", "back-off 10s restarting failed container=main")
    found = made(pod(), running(exited(code=3, number=2)), waiting={"main": problem})
    entry = found["containerStatuses"][0]
    assert found["phase"] == "Running"
    assert entry["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert entry["lastState"]["terminated"]["exitCode"] == 3
    assert entry["restartCount"] == 2


def test_image_problem_keeps_the_pod_pending() -> None:
    problem = ContainerProblem("ImagePullBackOff", 'Back-off pulling image "x"')
    found = made(pod(), running(), waiting={"main": problem})
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"]["waiting"] == {
        "reason": "ImagePullBackOff",
        "message": 'Back-off pulling image "x"',
    }


def test_init_phase_says_which_containers_are_incomplete() -> None:
    described = pod(initContainers=[{"name": "one", "image": "i"}])
    found = made(described, running(container("one", image="i")))
    assert found["phase"] == "Pending"
    initialized = condition(found, "Initialized")
    assert (initialized["reason"], initialized["message"]) == (
        "ContainersNotInitialized",
        "containers with incomplete status: [one]",
    )
    assert found["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    done = made(described, running(exited("one", image="i"), container()))
    assert (done["phase"], condition(done, "Initialized")["status"]) == ("Running", "True")


def test_transition_times_and_start_time_stay_while_nothing_changes() -> None:
    first = made(pod(), running(container()))
    later = NOW + dt.timedelta(minutes=5)
    again = view(pod(), running(container()), before=first)
    again.now = later
    assert status.pod_status(again) == first


def test_terminal_phase_never_goes_back() -> None:
    found = made(pod(), running(container()), before={"phase": "Failed", "reason": "Evicted"})
    assert (found["phase"], found["reason"]) == ("Failed", "Evicted")


def test_completed_pod_is_not_ready_because_it_is_completed() -> None:
    found = made(pod(restartPolicy="Never"), running(exited(), ready=False))
    assert condition(found, "Ready")["reason"] == "PodCompleted"
    assert condition(found, "Initialized")["reason"] == "PodCompleted"


def test_readiness_gate_holds_ready_back() -> None:
    described = pod(readinessGates=[{"conditionType": "example.org/gate"}])
    found = made(described, running(container()))
    assert condition(found, "Ready")["reason"] == "ReadinessGatesNotReady"
    assert condition(found, "ContainersReady")["status"] == "True"


def test_termination_message_comes_from_the_file_else_from_the_log(tmp_path: Path) -> None:
    message, log = tmp_path / "message", tmp_path / "log"
    message.write_text("from the file")
    log.write_text("2026-11-21T10:00:00.0Z stderr F from the log\n")
    with_file = exited(code=1, message_path=str(message), log_path=str(log), log_fallback=True)
    assert termination_message(with_file) == "from the file"
    message.write_text("")
    assert termination_message(with_file) == "from the log"
    good = exited(code=0, message_path=str(message), log_path=str(log), log_fallback=True)
    assert termination_message(good) == ""


def test_host_network_pod_has_the_address_of_the_node() -> None:
    found = made(pod(hostNetwork=True), running(container()))
    assert found["podIP"] == "192.168.1.20"


def test_patch_names_what_is_to_be_removed() -> None:
    known = {"phase": "Pending", "reason": "Evicted", "podIPs": [{"ip": "10.0.0.1"}], "podIP": "10.0.0.1"}
    wanted = {"phase": "Running", "podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}]}
    assert patch_of(wanted, known) == {
        "phase": "Running",
        "reason": None,
        "podIP": "10.0.0.2",
        "podIPs": [{"ip": "10.0.0.2"}, {"$patch": "replace"}],
    }


def test_patch_takes_the_reason_of_an_earlier_time_from_a_condition() -> None:
    patch = patch_of({"conditions": [{"type": "Ready", "status": "True"}]}, {})
    assert patch["conditions"] == [{"type": "Ready", "status": "True", "reason": None, "message": None}]


def test_start_time_is_that_of_the_first_sandbox_when_the_status_was_lost() -> None:
    expected = dt.datetime.fromtimestamp(START / 1e9, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert made(pod(), running(container()))["startTime"] == expected


SIDE = {"name": "side", "image": "i", "restartPolicy": "Always"}


def test_sidecar_keeps_the_phase_running_until_it_has_ended_too() -> None:
    described = pod(initContainers=[SIDE], restartPolicy="Never")
    assert made(described, running(container("side", image="i"), exited()))["phase"] == "Running"
    assert made(described, running(exited("side", 137, image="i"), exited()))["phase"] == "Succeeded"


def test_restarting_sidecar_does_not_take_a_running_pod_back() -> None:
    described = pod(initContainers=[SIDE])
    problem = ContainerProblem("CrashLoopBackOff", "back-off")
    found = made(described, running(exited("side", 1, image="i"), container()), waiting={"side": problem})
    assert found["phase"] == "Running"
    ready = condition(found, "Ready")
    assert (ready["status"], ready["message"]) == ("False", "containers with unready status: [side]")


def test_readiness_gates_are_read_from_the_pod_where_others_set_them() -> None:
    gates = [{"conditionType": "example.org/a"}, {"conditionType": "example.org/b"}]
    described = pod(readinessGates=gates)
    described["status"] = {"conditions": [{"type": "example.org/a", "status": "False"}]}
    ready = condition(made(described, running(container())), "Ready")
    assert (ready["reason"], ready["message"]) == (
        "ReadinessGatesNotReady",
        'the status of pod readiness gate "example.org/a" is not "True", but False, '
        'corresponding condition of pod readiness gate "example.org/b" does not exist.',
    )
    described["status"]["conditions"] = [{"type": g["conditionType"], "status": "True"} for g in gates]
    assert condition(made(described, running(container())), "Ready")["status"] == "True"


def test_failed_pod_names_why_it_is_not_ready() -> None:
    found = made(pod(restartPolicy="Never"), running(exited(code=1), ready=False))
    assert condition(found, "Ready")["reason"] == "PodFailed"
    assert condition(found, "PodReadyToStartContainers")["status"] == "False"


def test_debug_container_has_a_status_of_its_own_and_is_never_ready() -> None:
    described = pod(ephemeralContainers=[{"name": "shell", "image": "busybox:1"}])
    waiting = made(described, running(container()))["ephemeralContainerStatuses"]
    assert waiting[0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    [entry] = made(described, running(container(), container("shell")))["ephemeralContainerStatuses"]
    assert "running" in entry["state"]
    assert entry["ready"] is False
    assert made(described, running(container(), container("shell")))["phase"] == "Running"


def test_container_ids_begin_with_the_name_of_the_runtime() -> None:
    found = made(pod(), running(container()), runtime="cri-o")
    assert found["containerStatuses"][0]["containerID"] == "cri-o://main-0"
