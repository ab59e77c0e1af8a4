"""Whether a job is over, and why. No I/O. Fact: `syncJob` in pkg/controller/job/job_controller.go."""

from __future__ import annotations

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.controllers.job import policies
from edgelab.edgesite.controllers.job.state import State
from edgelab.kube.interface import Obj

MET, TARGET = "SuccessCriteriaMet", "FailureTarget"
UNLIMITED = 2**31 - 1


def decide(state: State) -> Obj | None:
    """The condition that ends the job (SuccessCriteriaMet, FailureTarget, Failed), if it ends."""
    if met := state.condition(MET):
        return met
    if target := state.condition(TARGET):
        return state.new_condition("Failed", target["reason"], target["message"])
    for pod in state.pods:
        if policies.has_failed(state.job, pod) and (message := policies.judge(state.job, pod).message):
            return state.new_condition(TARGET, "PodFailurePolicy", message)
    return _too_often(state) or _indexes(state)


def _too_often(state: State) -> Obj | None:
    spec = state.job["spec"]
    default = UNLIMITED if "backoffLimitPerIndex" in spec else 6
    limit = int(spec.get("backoffLimit", default))
    if state.failed > limit or _restarts_exceed(state, limit):
        text = "Job has reached the specified backoff limit"
        return state.new_condition(TARGET, "BackoffLimitExceeded", text)
    left = seconds_left(state)
    if left is not None and left <= 0:
        text = "Job was active longer than specified deadline"
        return state.new_condition(TARGET, "DeadlineExceeded", text)
    return None


def _restarts_exceed(state: State, limit: int) -> bool:
    """Pods that restart in place count by their restarts."""
    if state.job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = 0
    for pod in state.pods:
        status = pod.get("status") or {}
        if status.get("phase") in ("Running", "Pending"):
            for name in ("initContainerStatuses", "containerStatuses"):
                restarts += sum(int(item.get("restartCount", 0)) for item in status.get(name) or ())
    return restarts > 0 if limit == 0 else restarts >= limit


def seconds_left(state: State) -> float | None:
    """Until the job's deadline, if it has one that runs."""
    deadline = state.job["spec"].get("activeDeadlineSeconds")
    started = state.status.get("startTime")
    if deadline is None or not started or state.suspended:
        return None
    return float(deadline) - (state.now - parse_rfc3339(started)).total_seconds()


def _indexes(state: State) -> Obj | None:
    most = state.job["spec"].get("maxFailedIndexes")
    if state.lost is not None:
        if most is not None and len(state.lost) > int(most):
            text = "Job has exceeded the specified maximal number of failed indexes"
            return state.new_condition(TARGET, "MaxFailedIndexesExceeded", text)
        if state.lost and len(state.lost) + len(state.done) >= state.limit:
            return state.new_condition(TARGET, "FailedIndexes", "Job has failed indexes")
    if message := policies.enough(state.job, state.done):
        return state.new_condition(MET, "SuccessPolicy", message)
    return None


def is_complete(state: State, active: int) -> bool:
    """Whether enough pods have succeeded and none runs any more."""
    wanted = state.completions
    if wanted is None:
        return state.succeeded > 0 and not active
    return state.succeeded >= int(wanted) and not active


def completed(state: State) -> Obj:
    """The condition of a job whose work is done."""
    return state.new_condition(MET, "CompletionsReached", "Reached expected number of succeeded pods")
