"""Annotations with a meaning for pods: mirror pods, deletion cost, seccomp and AppArmor of old."""

from __future__ import annotations

import re
from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, quote
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod.security import containers

Obj = dict[str, Any]

MIRROR = "kubernetes.io/config.mirror"
COST = "controller.kubernetes.io/pod-deletion-cost"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
INT32 = range(-(2**31), 2**31)


def of_pod(annotations: Obj | None, spec: Obj, path: str) -> list[Cause]:
    """ValidatePodSpecificAnnotations."""
    if not annotations:
        return []
    causes: list[Cause] = []
    if MIRROR in annotations and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        causes.append(bad(f"{path}[{MIRROR}]", annotations[MIRROR], text))
    cost = annotations.get(COST)
    if cost is not None and not _is_int32(cost):
        causes.append(bad(f"{path}[{COST}]", cost, "must be a 32bit integer"))
    for key, profile in sorted(annotations.items()):
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            causes += _seccomp(profile, f"{path}.{key}")
    for key, profile in annotations.items():
        if key.startswith(APP_ARMOR):
            causes += _app_armor(key, profile, spec, path)
    return causes


def _is_int32(text: str) -> bool:
    """A number as `strconv.ParseInt` takes it, without a sign or zero in front."""
    return bool(re.fullmatch("0|-?[1-9][0-9]*", text)) and int(text) in INT32


def _seccomp(profile: str, path: str) -> list[Cause]:
    if profile in ("runtime/default", "docker/default", "unconfined"):
        return []
    if profile.startswith("localhost/"):
        return checks.descending(profile.removeprefix("localhost/"), path)
    return [bad(path, profile, "must be a valid seccomp profile")]


def _app_armor(key: str, profile: str, spec: Obj, path: str) -> list[Cause]:
    name, field = key.removeprefix(APP_ARMOR), f"{path}[{key}]"
    known = any(container.get("name") == name for container, _ in containers(spec, ""))
    causes = [] if known else [bad(field, name, "container not found")]
    if profile not in ("", "runtime/default", "unconfined") and not profile.startswith("localhost/"):
        causes.append(bad(field, profile, f"invalid AppArmor profile name: {quote(profile)}"))
    return causes


def match_fields(metadata: Obj, spec: Obj, path: str) -> list[Cause]:
    """Annotations of old must say what the fields say."""
    annotations = metadata.get("annotations") or {}
    if not any(key.startswith((APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD)) for key in annotations):
        return []
    own = spec.get("securityContext") or {}
    causes: list[Cause] = []
    field = f"{path}.securityContext.seccompProfile"
    causes += _differs(annotations.get(SECCOMP_POD), own.get("seccompProfile"), field, "seccomp")
    every = list(containers(spec, path))
    for container, where in every:
        profile = (container.get("securityContext") or {}).get("seccompProfile")
        key = SECCOMP_CONTAINER + (container.get("name") or "")
        field = f"{where}.securityContext.seccompProfile"
        causes += _differs(annotations.get(key), profile, field, "seccomp")
    for container, where in every:
        inner = container.get("securityContext") or {}
        profile = inner.get("appArmorProfile") or own.get("appArmorProfile")
        key = APP_ARMOR + (container.get("name") or "")
        field = f"{where}.securityContext.appArmorProfile"
        causes += _differs(annotations.get(key), profile, field, "apparmor")
    return causes


def _differs(annotation: str | None, profile: Obj | None, path: str, what: str) -> list[Cause]:
    if annotation is None or profile is None:
        return []
    allowed = {"Unconfined": ("unconfined",), "RuntimeDefault": ("runtime/default", "docker/default")}
    kind, text = profile.get("type") or "", f"{what} type in annotation and field must match"
    if kind in allowed and annotation not in allowed[kind][: None if what == "seccomp" else 1]:
        return [forbidden(f"{path}.type", text)]
    if kind == "Localhost" and not annotation.startswith("localhost/"):
        return [forbidden(f"{path}.type", text)]
    if kind == "Localhost" and annotation.removeprefix("localhost/") != profile.get("localhostProfile"):
        text = f"{what} profile in annotation and field must match"
        return [forbidden(f"{path}.localhostProfile", text)]
    return []


def changes(new: Obj, old: Obj, path: str) -> list[Cause]:
    """ValidatePodSpecificAnnotationUpdates."""
    mine, theirs = (obj["metadata"].get("annotations") or {} for obj in (new, old))
    causes: list[Cause] = []
    for key, value in theirs.items():
        if mine.get(key) == value:
            continue
        if key.startswith(APP_ARMOR):
            causes.append(forbidden(f"{path}[{key}]", "may not remove or update AppArmor annotations"))
        if key == MIRROR:
            causes.append(forbidden(f"{path}[{key}]", "may not remove or update mirror pod annotation"))
    for key in mine.keys() - theirs.keys():
        if key.startswith(APP_ARMOR):
            causes.append(forbidden(f"{path}[{key}]", "may not add AppArmor annotations"))
        if key == MIRROR:
            causes.append(forbidden(f"{path}[{key}]", "may not add mirror pod annotation"))
    return causes + of_pod(mine, new.get("spec") or {}, path)
