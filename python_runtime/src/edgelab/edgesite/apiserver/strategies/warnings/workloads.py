"""Pods, and what makes pods."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.strategies.warnings import pods
from edgelab.edgesite.apiserver.strategies.warnings.common import claim_spec

Obj = dict[str, Any]

SURPRISING = "which can result in surprising behavior; a DNS label is recommended"
MANY_COMPLETIONS, MANY_AT_ONCE = 100_000, 10_000
TOO_MANY = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4,"
    " Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
)
KEEPS_ALL = "a negative value retains all historical revisions; a value >= 0 is recommended"


def _name(obj: Obj, use: str) -> list[str]:
    problems = names.label(obj["metadata"].get("name") or "")
    return [f"metadata.name: this is used in {use}, {SURPRISING}: [{' '.join(problems)}]"] if problems else []


def _is_changed(new: Obj, old: Obj | None) -> bool:
    return old is None or new.get("spec") != old.get("spec")


def pod(new: Obj, old: Obj | None) -> list[str]:
    """A pod, when it is new."""
    return [] if old is not None else [*_name(new, "the Pod's hostname"), *pods.warnings(new)]


def pod_template(new: Obj, old: Obj | None) -> list[str]:
    """A PodTemplate."""
    return [] if old is not None else pods.warnings(new.get("template") or {}, "template")


def templated(new: Obj, old: Obj | None) -> list[str]:
    """What has a template in its spec."""
    if not _is_changed(new, old):
        return []
    return pods.warnings((new.get("spec") or {}).get("template") or {}, "spec.template")


def named(new: Obj, old: Obj | None) -> list[str]:
    """The same, with names of pods that begin with its own."""
    own = _name(new, "Pod names and hostnames") if old is None else []
    return own + templated(new, old)


def stateful_set(new: Obj, old: Obj | None) -> list[str]:
    """A StatefulSet: with templates of claims as well."""
    spec, texts = new.get("spec") or {}, templated(new, old)
    below = "" if old is None else ".Spec"
    for position, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        texts += claim_spec(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{position}]{below}")
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        texts.append(f"spec.revisionHistoryLimit: {KEEPS_ALL}")
    return texts


def _job_spec(spec: Obj, path: str) -> list[str]:
    many = (spec.get("completions") or 0) > MANY_COMPLETIONS
    texts = []
    if spec.get("completionMode") == "Indexed" and many and (spec.get("parallelism") or 0) > MANY_AT_ONCE:
        texts.append(f"{path}: {TOO_MANY}")
    return texts + pods.warnings(spec.get("template") or {}, f"{path}.template")


def job(new: Obj, old: Obj | None) -> list[str]:
    """A Job."""
    own = _name(new, "Pod names and hostnames") if old is None else []
    return own + (_job_spec(new.get("spec") or {}, "spec") if _is_changed(new, old) else [])


def cron_job(new: Obj, old: Obj | None) -> list[str]:
    """A CronJob."""
    texts, spec = _name(new, "Pod names and hostnames") if old is None else [], new.get("spec") or {}
    if _is_changed(new, old):
        texts += _job_spec((spec.get("jobTemplate") or {}).get("spec") or {}, "spec.jobTemplate.spec")
    if old is not None and "TZ" in (spec.get("schedule") or ""):
        texts.append(
            "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/"
            "docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )
    return texts
