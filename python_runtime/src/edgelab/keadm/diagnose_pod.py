"""`keadm diagnose pod`: why a pod of this node does not run, as far as its status tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgelab.keadm.diagnose_findings import Finding, failed, ok, warning
from edgelab.keadm.edge_store import objects
from edgelab.keadm.report import Failure

Obj = dict[str, Any]
_PULL = "see that the image's name is right, and that the registry can be reached and lets this node in"
FIXES = {
    "ImagePullBackOff": _PULL,
    "ErrImagePull": _PULL,
    "ErrImageNeverPull": "put the image on the node (ctr -n k8s.io images import), or change imagePullPolicy",
    "CrashLoopBackOff": "read what it says when it ends: kubectl logs --previous, or /var/log/pods",
    "CreateContainerConfigError": "see that its configmaps and secrets exist: keadm debug get all -A",
    "RunContainerError": "see the runtime's words: journalctl -u containerd -n 50",
    "OOMKilled": "raise the container's memory limit, or find out what it needs it for",
    "Evicted": "the node ran out of something: keadm debug check all",
}
OTHERWISE = "see journalctl -u edgecore -n 50"


def diagnose(database: Path, namespace: str, name: str) -> list[Finding]:
    """Findings on one pod, or on all pods of a namespace that are not well. Raises Failure for none."""
    pods = [
        pod
        for pod in objects(database, "pod")
        if pod["metadata"].get("namespace") == namespace and (not name or pod["metadata"].get("name") == name)
    ]
    if name and not pods:
        raise Failure(
            f"there is no pod {namespace}/{name} in {database}: it is not scheduled to this node, or the"
            " cloud"
            " has not brought it yet (keadm debug diagnose node)"
        )
    return [finding for pod in pods for finding in look_at(pod)]


def look_at(pod: Obj) -> list[Finding]:
    """What is wrong with a pod; one finding that all is well when nothing is."""
    key = f"{pod['metadata'].get('namespace')}/{pod['metadata'].get('name')}"
    status = pod.get("status") or {}
    if not status.get("phase"):
        fix = f"is EdgeCore running? {OTHERWISE}"
        return [failed("POD-STATUS", "EdgeCore has not said anything about it yet", fix, key)]
    findings = [one for container in containers(status) for one in look_at_container(container, key)]
    reason = str(status.get("reason") or "")
    if status["phase"] == "Failed" or reason:
        text = f"{status['phase']} {reason}: {status.get('message') or 'no message'}"
        findings.append(failed("POD-STATUS", text, FIXES.get(reason, OTHERWISE), key))
    findings += conditions(status, key) if not findings else []
    return findings or [ok("POD-STATUS", f"{status['phase']}, all containers as they should be", key)]


def containers(status: Obj) -> list[Obj]:
    """Init containers first, as they run first."""
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def look_at_container(container: Obj, key: str) -> list[Finding]:
    """Why a container does not run, or how its last run ended."""
    state = container.get("state") or {}
    name = container.get("name")
    findings = []
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    last = (container.get("lastState") or {}).get("terminated") or {}
    if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
        reason = waiting["reason"]
        text = f"container {name} waits: {reason}: {waiting.get('message') or 'no message'}"
        findings.append(failed("POD-CONTAINER", text, FIXES.get(reason, OTHERWISE), key))
    if ended.get("exitCode"):
        findings.append(_ended(name, ended, key))
    elif last.get("exitCode") and not container.get("ready"):
        findings.append(_ended(name, last, key))
    return findings


def _ended(name: object, ended: Obj, key: str) -> Finding:
    reason = str(ended.get("reason") or "Error")
    text = f"container {name} ended with status {ended['exitCode']} ({reason})"
    fix = FIXES.get(reason, FIXES["CrashLoopBackOff"])
    return failed("POD-CONTAINER", f"{text}: {ended.get('message') or 'no message'}", fix, key)


def conditions(status: Obj, key: str) -> list[Finding]:
    """Conditions that are not met, of a pod that is to run."""
    if status["phase"] == "Succeeded":
        return []
    unmet = [one for one in status.get("conditions") or [] if one.get("status") != "True"]
    return [
        warning(
            "POD-CONDITION",
            f"{one.get('type')} is {one.get('status')}: {one.get('reason') or ''} {one.get('message') or ''}",
            "see its readiness probe and the containers' logs",
            key,
        )
        for one in unmet
    ]
