"""What the failure of a pod means for its job, and when some successes are enough. No I/O.

Facts: pkg/controller/job/{pod_failure_policy,success_policy}.go.
"""

from __future__ import annotations

from typing import NamedTuple

from edgelab.edgesite.controllers.job import indexes
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_deleting


class Verdict(NamedTuple):
    """Why the job fails at once (None if it does not), whether the failure counts, and the rule's action."""

    message: str | None = None
    counts: bool = True
    action: str = ""


def only_replaces_failed(job: Obj) -> bool:
    """Whether a pod is replaced only when it has ended, not when it is told to."""
    spec = job["spec"]
    return spec.get("podReplacementPolicy") == "Failed" or "podFailurePolicy" in spec


def has_failed(job: Obj, pod: Obj) -> bool:
    """Whether the pod counts as a failure: one that was deleted never gets to say so itself."""
    phase = (pod.get("status") or {}).get("phase")
    if phase == "Failed":
        return True
    return not only_replaces_failed(job) and is_deleting(pod) and phase != "Succeeded"


def judge(job: Obj, pod: Obj) -> Verdict:
    """The first rule that a failed pod matches."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    metadata = pod["metadata"]
    for number, rule in enumerate(rules):
        action = rule["action"]
        text = _by_exit_code(rule, pod, f"{metadata['namespace']}/{metadata['name']}")
        if text is None:
            continue
        if action == "Ignore":
            return Verdict(None, counts=False, action=action)
        message = f"{text} matching {action} rule at index {number}" if action == "FailJob" else None
        return Verdict(message, action=action)
    return Verdict()


def _by_exit_code(rule: Obj, pod: Obj, name: str) -> str | None:
    """How the rule matches, as the message begins; None when it does not."""
    status = pod.get("status") or {}
    wanted = rule.get("onExitCodes")
    if wanted is None:
        for condition in status.get("conditions") or ():
            for pattern in rule.get("onPodConditions") or ():
                wanted_status = pattern.get("status", "True")
                if (condition["type"], condition["status"]) == (pattern["type"], wanted_status):
                    return f"Pod {name} has condition {condition['type']}"
        return None
    for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        ended = (container.get("state") or {}).get("terminated")
        if ended is None or wanted.get("containerName") not in (None, container["name"]):
            continue
        code = int(ended.get("exitCode", 0))
        if code and (code in wanted["values"]) == (wanted["operator"] == "In"):
            return f"Container {container['name']} for pod {name} failed with exit code {code}"
    return None


def enough(job: Obj, succeeded: set[int]) -> str | None:
    """The message when the successes fulfil the success policy."""
    policy, completions = job["spec"].get("successPolicy"), int(job["spec"].get("completions") or 0)
    if not policy or not succeeded:
        return None
    for number, rule in enumerate(policy.get("rules") or ()):
        count = rule.get("succeededCount")
        if "succeededIndexes" in rule:
            wanted = indexes.read(rule["succeededIndexes"], completions)
            found = len(wanted & succeeded)
            if not wanted or not (found == len(wanted) or (count is not None and found >= int(count))):
                continue
        elif count is None or len(succeeded) < int(count):
            continue
        return f"Matched rules at index {number}"
    return None
