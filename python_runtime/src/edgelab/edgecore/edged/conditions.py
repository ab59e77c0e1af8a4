"""The conditions of a pod in the kubelet's words (`pkg/kubelet/status/generate.go`)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.daemon.clock import rfc3339
from edgelab.edgecore.edged import holding, podspec
from edgelab.edgecore.edged.views import View, initialized

Obj = dict[str, Any]


def pod_conditions(view: View, phase: str, init: list[Obj], main: list[Obj]) -> list[Obj]:
    """All of them; `init` and `main` are the statuses of the containers."""
    before = view.before.get("conditions") or []
    succeeded, ended = phase == "Succeeded", phase in ("Succeeded", "Failed")
    sandbox_up = bool(view.state.sandbox and view.state.sandbox.ready)
    ready = _containers_ready(view, phase, init, main)
    wanted = {
        "PodReadyToStartContainers": {"status": "True" if sandbox_up and not ended else "False"},
        "Initialized": _initialized(view, succeeded, init),
        "Ready": _ready(view.pod, ready),
        "ContainersReady": ready,
        "PodScheduled": {"status": "True"},
    }
    made = [_condition(kind, new, before, view.now) for kind, new in wanted.items()]
    if holding.was_held(view.pod, view.before):
        made.append(holding.condition("False", view.before, view.now))
    return made


def _containers_ready(view: View, phase: str, init: list[Obj], main: list[Obj]) -> Obj:
    if phase == "Succeeded":
        return {"status": "False", "reason": "PodCompleted"}
    if phase == "Failed":
        return {"status": "False", "reason": "PodFailed"}
    sidecars = {spec["name"] for spec in podspec.sidecars(view.pod)}
    watched = [*(status for status in init if status["name"] in sidecars), *main]
    unready = [status["name"] for status in watched if not status["ready"]]
    if not unready:
        return {"status": "True"}
    text = f"containers with unready status: [{' '.join(unready)}]"
    return {"status": "False", "reason": "ContainersNotReady", "message": text}


def _initialized(view: View, succeeded: bool, init: list[Obj]) -> Obj:
    if succeeded:
        return {"status": "True", "reason": "PodCompleted"}
    if not init or initialized(view):
        return {"status": "True"}
    sidecars = {spec["name"] for spec in podspec.sidecars(view.pod)}
    incomplete = [
        status["name"] for status in init if not status["started" if status["name"] in sidecars else "ready"]
    ]
    text = f"containers with incomplete status: [{' '.join(incomplete)}]"
    return {"status": "False", "reason": "ContainersNotInitialized", "message": text}


def _ready(pod: Obj, ready: Obj) -> Obj:
    """The containers and the readiness gates: conditions that others set on the pod."""
    held = {c["type"]: c.get("status") for c in (pod.get("status") or {}).get("conditions") or []}
    problems = [
        f'the status of pod readiness gate "{kind}" is not "True", but {held[kind]}'
        if kind in held
        else f'corresponding condition of pod readiness gate "{kind}" does not exist.'
        for gate in pod["spec"].get("readinessGates") or []
        if held.get(kind := gate["conditionType"]) != "True"
    ]
    if ready["status"] != "True" or not problems:
        return ready
    return {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(problems)}


def _condition(kind: str, new: Obj, before: list[Obj], now: dt.datetime) -> Obj:
    old = next((c for c in before if c.get("type") == kind), None)
    kept = old is not None and old.get("status") == new["status"] and old.get("lastTransitionTime")
    return {
        "type": kind,
        "lastProbeTime": None,
        "lastTransitionTime": kept or rfc3339(now),
        **new,
    }
