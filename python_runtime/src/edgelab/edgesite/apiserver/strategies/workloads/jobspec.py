"""What a Job and the template of a CronJob have in common (`validateJobSpec`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, required, too_long, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import spec as pods
from edgelab.edgesite.apiserver.strategies.workloads import jobpolicies, selected

Obj = dict[str, Any]

MAX_INDEXED = 100_000
MAX_MANY = 10_000
REPLACEMENT = ["Failed", "TerminatingOrFailed"]


def policy_defaults(spec: Obj) -> None:
    """Defaults of a pod failure policy."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"


def validate(spec: Obj, path: str, *, selector: bool) -> list[Cause]:
    """The spec of a Job, which has a `selector`, or of a template."""
    causes: list[Cause] = []
    for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit"):
        causes += checks.nonnegative(spec.get(field), f"{path}.{field}")
    for field in ("ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"):
        causes += checks.nonnegative(spec.get(field), f"{path}.{field}")
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        text = "when maxFailedIndexes is specified"
        causes.append(required(f"{path}.backoffLimitPerIndex", text))
    manager = spec.get("managedBy")
    if manager is not None:
        causes += checks.domain_prefixed_path(manager, f"{path}.managedBy")
        causes += [too_long(f"{path}.managedBy", 63)] if len(manager) > 63 else []
    causes += _mode(spec, path) + jobpolicies.failure(spec, f"{path}.podFailurePolicy")
    causes += jobpolicies.success(spec, f"{path}.successPolicy") + _replacement(spec, path)
    causes += pods.template(spec.get("template") or {}, f"{path}.template") + _restart(spec, path)
    if not selector:
        return causes
    found = spec.get("selector")
    causes += [required(f"{path}.selector")] if found is None else []
    causes += checks.label_selector(found, f"{path}.selector")
    return causes + (selected.mismatch(spec) if checks.convertible(found) else [])


def _mode(spec: Obj, path: str) -> list[Cause]:
    mode, causes = spec.get("completionMode"), []
    if mode not in (None, "NonIndexed", "Indexed"):
        causes.append(unsupported(f"{path}.completionMode", mode, ["NonIndexed", "Indexed"]))
    if mode == "Indexed":
        return causes + _indexed(spec, path)
    text = "requires indexed completion mode"
    for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if mode in (None, "NonIndexed") and field in spec:
            causes.append(bad(f"{path}.{field}", spec[field], text))
    return causes


def _indexed(spec: Obj, path: str) -> list[Cause]:
    completions, parallel, failed = (
        spec.get(field) for field in ("completions", "parallelism", "maxFailedIndexes")
    )
    causes: list[Cause] = []
    if completions is None:
        causes.append(required(f"{path}.completions", "when completion mode is Indexed"))
    if parallel is not None and parallel > MAX_INDEXED:
        text = f"must be less than or equal to {MAX_INDEXED} when completion mode is Indexed"
        causes.append(bad(f"{path}.parallelism", parallel, text))
    field = f"{path}.maxFailedIndexes"
    if failed is not None and completions is not None and failed > completions:
        causes.append(bad(field, failed, "must be less than or equal to completions"))
    if failed is not None and failed > MAX_INDEXED:
        causes.append(bad(field, failed, f"must be less than or equal to {MAX_INDEXED}"))
    if (completions or 0) <= MAX_INDEXED or "backoffLimitPerIndex" not in spec:
        return causes
    text = (
        f"must be less than or equal to {MAX_MANY} when completions are above {MAX_INDEXED} and used with"
        " backoff limit per index"
    )
    if failed is None:
        need = f"must be specified when completions is above {MAX_INDEXED}"
        causes.append(required(field, need))
    if parallel is not None and parallel > MAX_MANY:
        causes.append(bad(f"{path}.parallelism", parallel, text))
    return causes + ([bad(field, failed, text)] if failed is not None and failed > MAX_MANY else [])


def _replacement(spec: Obj, path: str) -> list[Cause]:
    value = spec.get("podReplacementPolicy")
    allowed = ["Failed"] if "podFailurePolicy" in spec else REPLACEMENT
    field = f"{path}.podReplacementPolicy"
    return [] if value is None or value in allowed else [unsupported(field, value, allowed)]


def _restart(spec: Obj, path: str) -> list[Cause]:
    policy = ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") or "Always"
    field = f"{path}.template.spec.restartPolicy"
    if policy == "Always":
        return [required(field, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [unsupported(field, policy, ["OnFailure", "Never"])]
    if "podFailurePolicy" in spec and policy != "Never":
        text = 'only "Never" is supported when podFailurePolicy is specified'
        return [bad(field, policy, text)]
    return []
