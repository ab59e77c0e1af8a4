"""Pod Security admission: a namespace's labels name the level that its pods keep to."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.invalid import Cause, bad, invalid
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.podadmission import refused
from edgelab.edgesite.apiserver.securitylevels import violations
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.store import Key, Store

Obj = dict[str, Any]

PREFIX = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")
LEVELS = ("privileged", "baseline", "restricted")
TEMPLATES = {
    ("", "ReplicationController"),
    ("", "PodTemplate"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
}


def check(store: Store, kind: Kind, obj: Obj, old: Obj | None, context: Context) -> None:
    """Raises ApiError 403 for a pod that its namespace does not allow; warns and notes the rest."""
    pod = (kind.group, kind.name) == ("", "Pod")
    if not pod and (kind.group, kind.name) not in TEMPLATES:
        return
    labels = _labels(store, obj["metadata"]["namespace"])
    if not any(label.startswith(PREFIX) for label in labels) or (old is not None and _same(obj, old)):
        return
    template = obj if pod else _template(kind, obj)
    if pod:
        level = labels.get(f"{PREFIX}enforce", "privileged")
        context.annotations[f"{PREFIX}enforce-policy"] = f"{level}:{_version(labels, 'enforce')}"
    if pod and (level := _level(labels, "enforce")) and (found := violations(level, template)):
        text = f'violates PodSecurity "{level}:{_version(labels, "enforce")}": {found}'
        raise refused(kind.plural, kind.group, obj, text)
    if (level := _level(labels, "audit")) and (found := violations(level, template)):
        text = f'would violate PodSecurity "{level}:{_version(labels, "audit")}": {found}'
        context.annotations[f"{PREFIX}audit-violations"] = text
    if (level := _level(labels, "warn")) and (found := violations(level, template)):
        text = f'would violate PodSecurity "{level}:{_version(labels, "warn")}": {found}'
        context.warnings.append(text)


def _same(obj: Obj, old: Obj) -> bool:
    return checks.semantic(obj.get("spec"), old.get("spec"))


def _template(kind: Kind, obj: Obj) -> Obj:
    if kind.name == "PodTemplate":
        return obj.get("template") or {}
    spec = obj.get("spec") or {}
    if kind.name == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    found: Obj = spec.get("template") or {}
    return found


def _labels(store: Store, namespace: str) -> Obj:
    entry = store.head(Key("namespaces", "", namespace))
    return {} if entry is None else codec.decode(entry.data)["metadata"].get("labels") or {}


def _level(labels: Obj, mode: str) -> str:
    """Empty when everything is allowed; a level that does not exist is the strictest one."""
    level = str(labels.get(PREFIX + mode, "privileged"))
    return "" if level == "privileged" else level if level in LEVELS else "restricted"


def _version(labels: Obj, mode: str) -> str:
    return str(labels.get(f"{PREFIX}{mode}-version", "latest"))


def check_namespace(obj: Obj, old: Obj | None) -> None:
    """Raises ApiError 422 for labels that name no level."""
    labels = obj["metadata"].get("labels") or {}
    before = (old or {"metadata": {}})["metadata"].get("labels") or {}
    causes: list[Cause] = []
    for mode in MODES:
        for label, problem in ((PREFIX + mode, _bad_level), (f"{PREFIX}{mode}-version", _bad_version)):
            if label in labels and labels[label] != before.get(label) and (text := problem(labels[label])):
                causes.append(bad(f"metadata.labels[{label}]", labels[label], text))
    if causes:
        raise invalid("Namespace", "", obj["metadata"].get("name") or "", causes)


def _bad_level(value: str) -> str:
    return "" if value in LEVELS else f"must be one of {', '.join(LEVELS)}"


def _bad_version(value: str) -> str:
    major, _, minor = value.removeprefix("v").partition(".")
    known = value.startswith("v") and major == "1" and minor.isdecimal()
    return "" if value == "latest" or known else 'must be "latest" or "v1.x"'
