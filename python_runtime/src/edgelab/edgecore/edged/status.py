"""The status of a Pod in the kubelet's words (`kubelet_pods.go`, `status/generate.go`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelab.daemon.clock import rfc3339
from edgelab.edgecore.edged import podspec
from edgelab.edgecore.edged.problems import ContainerProblem
from edgelab.edgecore.edged.state import EXITED, Container, PodState

Obj = dict[str, Any]

MESSAGE_LIMIT = 4096
"""Bytes of a termination message; with FallbackToLogsOnError the last 2048 bytes or 80 lines of the log."""

LOG_TAIL_BYTES, LOG_TAIL_LINES = 2048, 80


@dataclass(slots=True)
class View:
    """Everything a status is made from.

    `waiting`: why a container is not started, by name. `before`: the status that was known last.
    `ending`: the pod's deletion is under way. `failure`: reason and message that end the pod for good.
    """

    pod: Obj
    state: PodState
    host_ip: str
    now: dt.datetime
    ready: Callable[[Obj, Container | None], bool]
    started: Callable[[Obj, Container | None], bool]
    waiting: dict[str, ContainerProblem] = field(default_factory=dict)
    before: Obj = field(default_factory=dict)
    ending: bool = False
    failure: tuple[str, str] | None = None


def pod_status(view: View) -> Obj:
    """The whole status; what it does not hold is absent from the API's as well."""
    pod, before = view.pod, view.before
    init = [container_status(view, c, init=True) for c in podspec.init_containers(pod)]
    main = [container_status(view, c) for c in podspec.containers(pod)]
    phase = _phase(view, init, main)
    if before.get("phase") in ("Succeeded", "Failed"):
        phase = before["phase"]
    reason, message = view.failure or (before.get("reason", ""), before.get("message", ""))
    status: Obj = {
        "phase": phase,
        "conditions": _conditions(view, phase, init, main, before.get("conditions") or []),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}] if view.host_ip else [],
        "startTime": before.get("startTime") or _start(view),
        "containerStatuses": main,
        "qosClass": podspec.qos_class(pod),
    }
    if init:
        status["initContainerStatuses"] = init
    ips = view.state.ips
    if podspec.host_network(pod) and view.host_ip and view.state.sandbox:
        ips = [view.host_ip]
    if not ips and phase in ("Succeeded", "Failed"):
        ips = [entry["ip"] for entry in before.get("podIPs") or []]
    if ips:
        status["podIP"], status["podIPs"] = ips[0], [{"ip": ip} for ip in ips]
    if reason:
        status["reason"] = reason
    if message:
        status["message"] = message
    return status


def container_status(view: View, container: Obj, *, init: bool = False) -> Obj:
    """One entry of containerStatuses or initContainerStatuses."""
    name = container["name"]
    newest, problem = view.state.container(name), view.waiting.get(name)
    earlier = view.state.earlier(name)
    status: Obj = {
        "name": name,
        "state": {},
        "lastState": {},
        "ready": False,
        "restartCount": newest.restarts if newest else 0,
        "image": (newest.image if newest and newest.image else "") or container.get("image", ""),
        "imageID": newest.image_ref if newest else "",
    }
    if newest:
        status["containerID"] = f"containerd://{newest.id}"
    if newest is None or (newest.state != EXITED and not newest.running):
        status["state"] = _waiting(view, problem, init=init, newest=newest)
    elif newest.running:
        status["state"] = {"running": {"startedAt": _time(newest.started_at)}}
    elif problem is not None and not view.ending:
        status["state"] = {"waiting": _reason(problem)}
        status["lastState"] = {"terminated": _terminated(newest)}
    else:
        status["state"] = {"terminated": _terminated(newest)}
    if not status["lastState"] and earlier and earlier.state == EXITED:
        status["lastState"] = {"terminated": _terminated(earlier)}
    _judge(view, container, newest, status, init=init)
    return status


def _judge(view: View, container: Obj, newest: Container | None, status: Obj, *, init: bool) -> None:
    """Fill in `ready` and `started`."""
    if init and not podspec.is_sidecar(container):
        ended = newest is not None and newest.state == EXITED and newest.exit_code == 0
        status["ready"] = ended
        status["started"] = bool(newest and newest.running)
    else:
        status["started"] = view.started(container, newest)
        status["ready"] = view.ready(container, newest)


def _waiting(view: View, problem: ContainerProblem | None, *, init: bool, newest: Container | None) -> Obj:
    if problem is not None:
        return {"waiting": _reason(problem)}
    if view.ending and newest is None and view.state.sandbox is None:
        gone = {"exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": None, "finishedAt": None}
        text = "The container could not be located when the pod was terminated"
        return {"terminated": {**gone, "message": text}}
    blocked = podspec.init_containers(view.pod) and not initialized(view)
    return {"waiting": {"reason": "PodInitializing" if blocked else "ContainerCreating"}}


def _reason(problem: ContainerProblem) -> Obj:
    return {"reason": problem.reason, "message": problem.message}


def initialized(view: View) -> bool:
    """Whether all init containers have done their part."""
    if any(view.state.container(c["name"]) for c in podspec.containers(view.pod)):
        return True
    for container in podspec.init_containers(view.pod):
        found = view.state.container(container["name"])
        if podspec.is_sidecar(container):
            if not view.started(container, found):
                return False
        elif found is None or found.state != EXITED or found.exit_code != 0:
            return False
    return True


def _phase(view: View, init: list[Obj], main: list[Obj]) -> str:
    """Pending, Running, Succeeded or Failed (`getPhase`)."""
    if view.failure is not None:
        return "Failed"
    policy = podspec.restart_policy(view.pod)
    pending, failed = _initial(view, init)
    if failed and policy == "Never":
        return "Failed"
    running = sum(1 for s in main if "running" in s["state"])
    ends = [end for s in main if (end := _end(s)) is not None]
    succeeded = sum(1 for s in main if s["state"].get("terminated", {}).get("exitCode") == 0)
    if pending or running + len(ends) < len(main):
        return "Pending"
    if running or (policy == "Always" and not view.ending):
        return "Running" if main else "Pending"
    if succeeded == len(ends):
        return "Succeeded"
    return "Failed" if policy == "Never" or view.ending else "Running"


def _initial(view: View, init: list[Obj]) -> tuple[int, int]:
    """How many init containers (no sidecars) are still to finish, and how many failed."""
    if any(view.state.container(c["name"]) for c in podspec.containers(view.pod)):
        return 0, 0
    pending = failed = 0
    for spec, status in zip(podspec.init_containers(view.pod), init, strict=True):
        if podspec.is_sidecar(spec):
            continue
        end = _end(status)
        if end is None:
            pending += 1
        elif end["exitCode"] != 0:
            failed += 1
    return pending, failed


def _end(status: Obj) -> Obj | None:
    """How a container that does not run now ended; None for one that runs or never ran."""
    state = status["state"]
    if "waiting" in state:
        state = status["lastState"]
    found: Obj | None = state.get("terminated")
    return found


def _conditions(view: View, phase: str, init: list[Obj], main: list[Obj], before: list[Obj]) -> list[Obj]:
    sandbox_up = bool(view.state.sandbox and view.state.sandbox.ready)
    done = phase == "Succeeded"
    ended = phase in ("Succeeded", "Failed")
    unready = [s["name"] for s in main if not s["ready"]]
    unready += [
        status["name"]
        for spec, status in zip(podspec.init_containers(view.pod), init, strict=True)
        if podspec.is_sidecar(spec) and not status["ready"]
    ]
    incomplete = [
        status["name"]
        for spec, status in zip(podspec.init_containers(view.pod), init, strict=True)
        if not (status["started"] if podspec.is_sidecar(spec) else status["ready"])
    ]
    initial = done or not podspec.init_containers(view.pod) or initialized(view)
    ready: Obj = {"status": "True"}
    if done:
        ready = {"status": "False", "reason": "PodCompleted"}
    elif ended:
        ready = {"status": "False", "reason": "PodFailed"}
    elif unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        ready = {"status": "False", "reason": "ContainersNotReady", "message": text}
    first: Obj = {"status": "True", **({"reason": "PodCompleted"} if done else {})}
    if not initial:
        text = f"containers with incomplete status: [{' '.join(incomplete)}]"
        first = {"status": "False", "reason": "ContainersNotInitialized", "message": text}
    gates = _gates(view.pod, ready, before)
    wanted = {
        "PodReadyToStartContainers": {"status": "True" if sandbox_up and not ended else "False"},
        "Initialized": first,
        "Ready": gates,
        "ContainersReady": ready,
        "PodScheduled": {"status": "True"},
    }
    return [_condition(kind, new, before, view.now) for kind, new in wanted.items()]


def _gates(pod: Obj, ready: Obj, before: list[Obj]) -> Obj:
    """Readiness gates: conditions that others set and that `Ready` waits for."""
    held = {c["type"]: c.get("status") for c in before}
    missing = [
        gate["conditionType"]
        for gate in pod["spec"].get("readinessGates") or []
        if held.get(gate["conditionType"]) != "True"
    ]
    if ready["status"] != "True" or not missing:
        return ready
    text = "; ".join(
        f'corresponding condition of pod readiness gate "{gate}" does not exist.' for gate in missing
    )
    return {"status": "False", "reason": "ReadinessGatesNotReady", "message": text}


def _condition(kind: str, new: Obj, before: list[Obj], now: dt.datetime) -> Obj:
    old = next((c for c in before if c.get("type") == kind), None)
    kept = old is not None and old.get("status") == new["status"] and old.get("lastTransitionTime")
    return {
        "type": kind,
        "lastProbeTime": None,
        "lastTransitionTime": kept or rfc3339(now),
        **new,
    }


def _start(view: View) -> str:
    oldest = min((sandbox.created_at for sandbox in view.state.sandboxes), default=0)
    return _time(oldest) or rfc3339(view.now)


def _terminated(container: Container) -> Obj:
    reason = container.reason or ("Completed" if container.exit_code == 0 else "Error")
    ended: Obj = {
        "exitCode": container.exit_code,
        "reason": reason,
        "startedAt": _time(container.started_at),
        "finishedAt": _time(container.finished_at),
        "containerID": f"containerd://{container.id}",
    }
    text = termination_message(container)
    if text:
        ended["message"] = text
    return ended


def termination_message(container: Container) -> str:
    """What the container wrote to its termination log, else what the runtime says of its end."""
    text = ""
    if container.message_path:
        try:
            with Path(container.message_path).open("rb") as file:
                text = file.read(MESSAGE_LIMIT).decode(errors="replace")
        except OSError:
            text = ""
    if not text and container.log_fallback and container.exit_code != 0:
        text = log_tail(container.log_path)
    return text or container.message


def log_tail(path: str) -> str:
    """The end of a container's log, without the runtime's prefixes (`<time> <stream> <tag> <text>`)."""
    try:
        with Path(path).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4 * LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    except OSError:
        return ""
    text = "\n".join(line.split(" ", 3)[-1] for line in lines)
    return text[-LOG_TAIL_BYTES:]


def _time(nanoseconds: int) -> str | None:
    if nanoseconds <= 0:
        return None
    return rfc3339(dt.datetime.fromtimestamp(nanoseconds / 1e9, dt.UTC))
