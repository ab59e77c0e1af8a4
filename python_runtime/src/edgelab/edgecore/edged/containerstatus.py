"""The status of one container in the kubelet's words (`kubelet_pods.go`, `convertToAPIContainerStatuses`)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.daemon.clock import rfc3339
from edgelab.edgecore.edged import podspec
from edgelab.edgecore.edged.problems import ContainerProblem
from edgelab.edgecore.edged.state import EXITED, Container
from edgelab.edgecore.edged.termination import termination_message
from edgelab.edgecore.edged.views import View, initialized

Obj = dict[str, Any]


def container_status(view: View, container: Obj, *, init: bool = False) -> Obj:
    """One entry of containerStatuses or initContainerStatuses."""
    newest = view.state.container(container["name"])
    status = _status(view, container, newest, init=init)
    _judge(view, container, newest, status, init=init)
    return status


def ephemeral_status(view: View, container: Obj) -> Obj:
    """One entry of ephemeralContainerStatuses: such containers are never ready."""
    return _status(view, container, view.state.container(container["name"]), init=False)


def _status(view: View, container: Obj, newest: Container | None, *, init: bool) -> Obj:
    name = container["name"]
    problem = view.waiting.get(name)
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
        status["containerID"] = f"{view.runtime}://{newest.id}"
    if newest is None or (newest.state != EXITED and not newest.running):
        status["state"] = _waiting(view, problem, init=init, newest=newest)
    elif newest.running:
        status["state"] = {"running": {"startedAt": moment(newest.started_at)}}
    elif problem is not None and not view.ending:
        status["state"] = {"waiting": _reason(problem)}
        status["lastState"] = {"terminated": terminated(view, newest)}
    else:
        status["state"] = {"terminated": terminated(view, newest)}
    if not status["lastState"] and earlier and earlier.state == EXITED:
        status["lastState"] = {"terminated": terminated(view, earlier)}
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


def terminated(view: View, container: Container) -> Obj:
    """How a container ended."""
    reason = container.reason or ("Completed" if container.exit_code == 0 else "Error")
    ended: Obj = {
        "exitCode": container.exit_code,
        "reason": reason,
        "startedAt": moment(container.started_at),
        "finishedAt": moment(container.finished_at),
        "containerID": f"{view.runtime}://{container.id}",
    }
    text = termination_message(container)
    if text:
        ended["message"] = text
    return ended


def moment(nanoseconds: int) -> str | None:
    """Nanoseconds since 1970 as the API writes a time; None for none."""
    if nanoseconds <= 0:
        return None
    return rfc3339(dt.datetime.fromtimestamp(nanoseconds / 1e9, dt.UTC))
