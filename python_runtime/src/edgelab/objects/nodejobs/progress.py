"""How a job goes: the state of each node in `status.nodeStatus`, and the job's own.

Facts: KubeEdge `cloud/pkg/controllermanager/nodetask`, `cloud/pkg/taskmanager`. Other than there a node
that was rolled back has failed, whatever became of the rolling back; a node that waits for somebody's
confirmation is given all the time that takes; and the time of a node begins when it is its turn, not when
the job was made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from edgelab.objects.labelselectors import SelectorError, from_object
from edgelab.objects.metadata import condition, labels
from edgelab.objects.nodejobs.flows import CONFIRMATION, PREPULL, ROLLBACK, UPGRADE, following

Obj: TypeAlias = dict[str, Any]

EDGE_LABEL = "node-role.kubernetes.io/edge"
PENDING, IN_PROGRESS, SUCCESSFUL, FAILURE, UNKNOWN = (
    "Pending",
    "InProgress",
    "Successful",
    "Failure",
    "Unknown",
)
OVER = frozenset({SUCCESSFUL, FAILURE, UNKNOWN})
TIMED_OUT = "The node task has timed out"
LONGEST_REASON = 1000
DEFAULT_SECONDS = 300


def template(job: str, obj: Obj) -> Obj:
    """The part of a job's spec that says on which nodes, how many at a time, and for how long."""
    spec: Obj = obj.get("spec") or {}
    return (spec.get("imagePrePullTemplate") or {}) if job == PREPULL else spec


def begun(job: str, obj: Obj, nodes: Iterable[Obj]) -> Obj:
    """The status of a new job: each node that it names or selects, waiting or refused with the reason."""
    choice = template(job, obj)
    names, selector = choice.get("nodeNames") or [], choice.get("labelSelector")
    if bool(names) == bool(selector):
        return {
            "phase": FAILURE,
            "reason": "exactly one of nodeNames and labelSelector says which nodes are meant",
        }
    known = {node["metadata"]["name"]: node for node in nodes}
    if not names:
        try:
            chosen = from_object(selector)
        except SelectorError as error:
            return {"phase": FAILURE, "reason": f"labelSelector: {error}"}
        names = sorted(name for name, node in known.items() if chosen.matches(labels(node)))
    if not names:
        return {"phase": FAILURE, "reason": "no nodes were matched with selector"}
    return {"phase": "Init", "nodeStatus": [_begun(name, known.get(name)) for name in dict.fromkeys(names)]}


def _begun(name: str, node: Obj | None) -> Obj:
    if node is None:
        reason = f'failed to get node, err: Node "{name}" not found'
    elif EDGE_LABEL not in labels(node):
        reason = "the node is not an edge node"
    elif (condition(node, "Ready") or {}).get("status") != "True":
        reason = "the node is not ready"
    else:
        return {"nodeName": name, "phase": PENDING}
    return {"nodeName": name, "phase": FAILURE, "reason": reason}


def due(job: str, obj: Obj, reachable: Callable[[str], bool]) -> list[str]:
    """The nodes whose turn it is: reachable ones that wait, up to the number that may work at a time."""
    states = (obj.get("status") or {}).get("nodeStatus") or []
    free = max(1, int(template(job, obj).get("concurrency") or 1))
    free -= sum(1 for state in states if state.get("phase") == IN_PROGRESS)
    waiting = [state["nodeName"] for state in states if state.get("phase") == PENDING]
    return [node for node in waiting if reachable(node)][: max(0, free)]


def pending(obj: Obj) -> list[str]:
    """The nodes whose turn it is not yet."""
    states = (obj.get("status") or {}).get("nodeStatus") or []
    return [state["nodeName"] for state in states if state.get("phase") == PENDING]


def seconds(job: str, obj: Obj) -> float:
    """How long one action of a node may take."""
    return float(template(job, obj).get("timeoutSeconds") or DEFAULT_SECONDS)


def sent(status: Obj, node: str) -> Obj:
    """The status when a node was told to begin."""
    return _with(status, node, {"phase": IN_PROGRESS})


def reported(job: str, status: Obj, node: str, report: Obj, now: str) -> Obj | None:
    """The status with what a node says of one action (`{action, succ, finishTime, reason, extend}`).

    None when there is nothing to note: the node is none of the job's, its work is over, or it is known.
    Raises KeyError for what is no action of such a job.
    """
    state = next((one for one in status.get("nodeStatus") or () if one["nodeName"] == node), None)
    action, succeeded = report["action"], bool(report.get("succ"))
    final = following(job, action, succeeded=succeeded) is None
    flow = list((state or {}).get("actionFlow") or ())
    if (
        state is None
        or state.get("phase") in (SUCCESSFUL, FAILURE)
        or any(one["action"] == action for one in flow)
    ):
        return None
    entry = {"action": action, "status": str(succeeded), "time": report.get("finishTime") or now}
    if not succeeded:
        entry["reason"] = str(report.get("reason") or "")[:LONGEST_REASON]
    changes: Obj = {"actionFlow": [*flow, entry], "phase": IN_PROGRESS}
    if final:
        changes["phase"] = SUCCESSFUL if succeeded and action != ROLLBACK else FAILURE
    if reason := next((one["reason"] for one in changes["actionFlow"] if one.get("reason")), ""):
        changes["reason"] = reason
    return _with(status, node, {**changes, **_extension(job, report.get("extend") or "")})


def _extension(job: str, extend: str) -> Obj:
    if job == PREPULL and extend:
        try:
            return {"imageStatus": msgspec.json.decode(extend, type=list[dict[str, str]])}
        except msgspec.DecodeError:
            return {}
    before, comma, after = extend.partition(",")
    return {"historicVersion": before, "currentVersion": after} if job == UPGRADE and comma else {}


def expired(status: Obj, node: str, reason: str = TIMED_OUT) -> Obj:
    """The status when a node has taken too long."""
    return _with(status, node, {"phase": UNKNOWN, "reason": reason})


def unfinished(obj: Obj) -> Iterator[str]:
    """The nodes whose time runs: neither those that wait for their turn nor for somebody who confirms."""
    confirmed = not (obj.get("spec") or {}).get("requireConfirmation")
    for state in (obj.get("status") or {}).get("nodeStatus") or ():
        last = (state.get("actionFlow") or [{}])[-1]
        if state.get("phase") == IN_PROGRESS and (confirmed or last.get("action") != CONFIRMATION):
            yield state["nodeName"]


def unheard(obj: Obj, node: str) -> bool:
    """Whether the node was told to begin and has said nothing yet: the message may be lost."""
    states = (obj.get("status") or {}).get("nodeStatus") or ()
    state: Obj = next((one for one in states if one["nodeName"] == node), {})
    return state.get("phase") == IN_PROGRESS and not state.get("actionFlow")


def summed_up(job: str, obj: Obj, status: Obj) -> Obj:
    """The status with the job's own phase and reason, as they follow from its nodes'."""
    states = status.get("nodeStatus") or []
    if not states:
        return status
    failed = sum(1 for state in states if state["phase"] in (FAILURE, UNKNOWN))
    result = {key: value for key, value in status.items() if key != "reason"}
    if any(state["phase"] not in OVER for state in states):
        return {**result, "phase": IN_PROGRESS}
    share = (Decimal(failed) / Decimal(len(states))).quantize(Decimal("0.01"), ROUND_HALF_UP)
    if failed and share > _tolerated(template(job, obj)):
        reason = f"the number of failed nodes is {failed}/{len(states)},"
        reason += " which exceeds the failure tolerance threshold"
        return {**result, "phase": FAILURE, "reason": reason}
    return {**result, "phase": "Completed"}


def is_over(status: Obj) -> bool:
    """Whether nothing more happens to the job."""
    return status.get("phase") in ("Completed", FAILURE) and all(
        state["phase"] in OVER for state in status.get("nodeStatus") or ()
    )


def _tolerated(choice: Obj) -> Decimal:
    try:
        return Decimal(str(choice.get("failureTolerate") or "0"))
    except InvalidOperation:
        return Decimal(0)


def _with(status: Obj, node: str, changes: Obj) -> Obj:
    states = [{**one, **changes} if one["nodeName"] == node else one for one in status["nodeStatus"]]
    return {**status, "nodeStatus": states}
