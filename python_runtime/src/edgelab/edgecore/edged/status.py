"""The status of a Pod in the kubelet's words (`kubelet_pods.go`)."""

from __future__ import annotations

from typing import Any

from edgelab.daemon.clock import rfc3339
from edgelab.edgecore.edged import podspec
from edgelab.edgecore.edged.conditions import pod_conditions
from edgelab.edgecore.edged.containerstatus import container_status, ephemeral_status, moment
from edgelab.edgecore.edged.views import View

Obj = dict[str, Any]


def pod_status(view: View) -> Obj:
    """The whole status; what it does not hold is absent from the API's as well."""
    pod, before = view.pod, view.before
    if view.failure and not (view.state.sandboxes or view.state.containers or before.get("startTime")):
        return _refused(view, *view.failure)
    init = [container_status(view, c, init=True) for c in podspec.init_containers(pod)]
    main = [container_status(view, c) for c in podspec.containers(pod)]
    phase = _phase(view, init, main)
    if before.get("phase") in ("Succeeded", "Failed"):
        phase = before["phase"]
    reason, message = view.failure or (before.get("reason", ""), before.get("message", ""))
    status: Obj = {
        "phase": phase,
        "conditions": pod_conditions(view, phase, init, main),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}] if view.host_ip else [],
        "startTime": before.get("startTime") or _start(view),
        "containerStatuses": main,
        "qosClass": podspec.qos_class(pod),
    }
    if init:
        status["initContainerStatuses"] = init
    if later := podspec.ephemeral_containers(pod):
        status["ephemeralContainerStatuses"] = [ephemeral_status(view, c) for c in later]
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


def _refused(view: View, reason: str, message: str) -> Obj:
    """Of a pod that the node never took."""
    start = {"startTime": rfc3339(view.now), "qosClass": podspec.qos_class(view.pod)}
    return {"phase": "Failed", "reason": reason, "message": message, **start}


def _phase(view: View, init: list[Obj], main: list[Obj]) -> str:
    """Pending, Running, Succeeded or Failed (`getPhase`)."""
    if view.failure is not None:
        return "Failed"
    sidecars = {spec["name"] for spec in podspec.sidecars(view.pod)}
    beside = [status for status in init if status["name"] in sidecars]
    ends = [end for status in main if (end := _end(status)) is not None]
    running = sum("running" in status["state"] for status in main)
    if not running and not ends:  # what removed init containers did is not asked once the app has begun
        once = [status for status in init if status["name"] not in sidecars]
        phase = _initial_phase(view.pod, once)
    elif running + len(ends) < len(main) or any(_never_ran(status) for status in beside):
        phase = "Pending"
    elif running or any("running" in status["state"] for status in beside):
        phase = "Running"
    else:
        phase = _final_phase(view, ends)
    return phase


def _initial_phase(pod: Obj, once: list[Obj]) -> str:
    """Before any app container has run; `once`: the init containers that have to end."""
    failed = any(end["exitCode"] != 0 for status in once if (end := _end(status)) is not None)
    return "Failed" if failed and podspec.restart_policy(pod) == "Never" else "Pending"


def _final_phase(view: View, ends: list[Obj]) -> str:
    """When nothing runs any more."""
    policy = podspec.restart_policy(view.pod)
    if policy == "Always" and not view.ending:
        return "Running"
    if all(end["exitCode"] == 0 for end in ends):
        return "Succeeded"
    return "Failed" if policy == "Never" or view.ending else "Running"


def _never_ran(status: Obj) -> bool:
    return "waiting" in status["state"] and "terminated" not in status["lastState"]


def _end(status: Obj) -> Obj | None:
    """How a container that does not run now ended; None for one that runs or never ran."""
    state = status["state"]
    if "waiting" in state:
        state = status["lastState"]
    found: Obj | None = state.get("terminated")
    return found


def _start(view: View) -> str:
    oldest = min((sandbox.created_at for sandbox in view.state.sandboxes), default=0)
    return moment(oldest) or rfc3339(view.now)
