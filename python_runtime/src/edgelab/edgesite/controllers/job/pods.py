"""The pods of a job. No I/O. Fact: pkg/controller/job/indexed_job_utils.go."""

from __future__ import annotations

from edgelab.edgesite.controllers.job import backoff, policies
from edgelab.edgesite.controllers.job.indexes import INDEX
from edgelab.edgesite.controllers.support.pods import from_template
from edgelab.kube.interface import Obj

TRACKING = "batch.kubernetes.io/job-tracking"
LONGEST_NAME = 58
"""So much of a name may come before the random end."""


def is_tracked(pod: Obj) -> bool:
    """Whether its end is still to be counted."""
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def is_indexed(job: Obj) -> bool:
    """Whether every pod has a number."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def new_pod(job: Obj, index: int | None, replaced: Obj | None = None) -> Obj:
    """A pod of the job; an indexed one knows its number by annotation, label, name and environment.

    `replaced` is the failed pod of the index, from which the failures are carried on.
    """
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    pod = from_template(job, job["spec"]["template"], generate_name=_prefix(name, index))
    metadata = pod["metadata"]
    metadata["finalizers"] = [*metadata.get("finalizers", ()), TRACKING]
    if not job["spec"].get("manualSelector"):
        metadata["labels"] |= {
            "controller-uid": uid,
            "batch.kubernetes.io/controller-uid": uid,
            "job-name": name,
            "batch.kubernetes.io/job-name": name,
        }
    if index is None:
        return pod
    notes = metadata.setdefault("annotations", {})
    notes[INDEX] = metadata["labels"][INDEX] = str(index)
    if "backoffLimitPerIndex" in job["spec"]:
        notes |= _failures(job, replaced)
    pod["spec"]["hostname"] = f"{name}-{index}"
    for container in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]:
        environment = container.setdefault("env", [])
        if not any(entry["name"] == "JOB_COMPLETION_INDEX" for entry in environment):
            source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
            environment.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": source})
    return pod


def _prefix(name: str, index: int | None) -> str:
    if index is None:
        return f"{name}-"
    end = f"-{index}-"
    return name[: LONGEST_NAME - len(end)] + end if len(name) + len(end) > LONGEST_NAME else name + end


def _failures(job: Obj, replaced: Obj | None) -> dict[str, str]:
    """The failures of the index so far, as annotations."""
    failures = backoff.failures_of(replaced) if replaced else 0
    ignored = backoff.ignored_of(replaced) if replaced else 0
    if replaced is not None:
        counts = policies.judge(job, replaced).counts
        failures, ignored = failures + counts, ignored + (not counts)
    found = {backoff.FAILURES: str(failures)}
    return {**found, backoff.IGNORED: str(ignored)} if ignored else found
