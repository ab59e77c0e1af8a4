"""Security contexts of pods and containers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver import layouts
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    bad,
    duplicate,
    forbidden,
    required,
    too_long,
    unsupported,
)
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import windows

Obj = dict[str, Any]

PROFILES = ["Localhost", "RuntimeDefault", "Unconfined"]
PROC_MOUNTS = ["Default", "Unmasked"]
SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
SYSCTL = rf"({SEGMENT}[\./])*{SEGMENT}"
NAMESPACED = {"kernel.sem": "ipc"}
NAMESPACED_PREFIXES = {"kernel.shm": "ipc", "kernel.msg": "ipc", "fs.mqueue.": "ipc", "net.": "net"}
MAX_PROFILE = 4095


def containers(spec: Obj, path: str) -> Iterator[tuple[Obj, str]]:
    """All containers of a pod with their paths, as `VisitContainersWithPath` goes."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for position, container in enumerate(spec.get(field) or ()):
            yield container, f"{path}.{field}[{position}]"


def seccomp(profile: Obj | None, path: str) -> list[Cause]:
    """SeccompProfile."""
    if profile is None:
        return []
    kind, local, causes = profile.get("type") or "", profile.get("localhostProfile"), []
    if not kind:
        causes.append(required(f"{path}.type", "type is required when seccompProfile is set"))
    elif kind not in PROFILES:
        causes.append(unsupported(f"{path}.type", kind, PROFILES))
    field = f"{path}.localhostProfile"
    if kind == "Localhost":
        text = "must be set when seccomp type is Localhost"
        causes += [required(field, text)] if local is None else checks.descending(local, field)
    elif local is not None:
        shown = layouts.shown("core.SeccompProfile", profile)
        causes.append(bad(field, shown, "can only be set when seccomp type is Localhost"))
    return causes


def app_armor(profile: Obj | None, path: str) -> list[Cause]:
    """AppArmorProfile."""
    if profile is None:
        return []
    kind, local, field = (
        profile.get("type") or "",
        profile.get("localhostProfile"),
        f"{path}.localhostProfile",
    )
    if not kind:
        return [required(f"{path}.type", "type is required when appArmorProfile is set")]
    if kind not in PROFILES:
        return [unsupported(f"{path}.type", kind, PROFILES)]
    if kind != "Localhost":
        text = "can only be set when AppArmor type is Localhost"
        return [bad(field, local, text)] if local is not None else []
    text = "must be set when AppArmor type is Localhost"
    if local is None:
        return [required(field, text)]
    causes = []
    if local.strip() != local:
        causes.append(bad(field, local, "must not be padded with whitespace"))
    elif not local:
        causes.append(required(field, text))
    return causes + ([too_long(field, MAX_PROFILE)] if len(local) > MAX_PROFILE else [])


def of_container(context: Obj | None, path: str, *, host_users: bool) -> list[Cause]:
    """SecurityContext of a container."""
    if context is None:
        return []
    causes = checks.user_or_group(context.get("runAsUser"), f"{path}.runAsUser")
    causes += checks.user_or_group(context.get("runAsGroup"), f"{path}.runAsGroup")
    mount, field = context.get("procMount"), f"{path}.procMount"
    if mount is not None and mount not in PROC_MOUNTS:
        causes.append(unsupported(field, mount, PROC_MOUNTS))
    if mount == "Unmasked" and host_users:
        causes.append(bad(field, mount, "`hostUsers` must be false to use `Unmasked`"))
    causes += seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        causes += _contradictions(context, path)
    causes += windows.options(context.get("windowsOptions"), f"{path}.windowsOptions")
    return causes + app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def _contradictions(context: Obj, path: str) -> list[Cause]:
    text = "cannot set `allowPrivilegeEscalation` to false and "
    found = ["`privileged` to true"] if context.get("privileged") else []
    added = (context.get("capabilities") or {}).get("add") or ()
    found += ["`capabilities.Add` CAP_SYS_ADMIN"] * sum(name == "CAP_SYS_ADMIN" for name in added)
    return [bad(path, layouts.shown("core.SecurityContext", context), text + rest) for rest in found]


def of_pod(spec: Obj, path: str) -> list[Cause]:
    """PodSecurityContext."""
    context = spec.get("securityContext")
    if context is None:
        return []
    field = f"{path}.securityContext"
    causes: list[Cause] = []
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        causes += checks.user_or_group(context.get(name), f"{field}.{name}")
    for position, group in enumerate(context.get("supplementalGroups") or ()):
        causes += checks.user_or_group(group, f"{field}.supplementalGroups[{position}]")
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        causes.append(bad(f"{field}.shareProcessNamespace", True, text))
    causes += _sysctls(context.get("sysctls") or [], spec, f"{field}.sysctls")
    causes += _word(context, "fsGroupChangePolicy", ["Always", "OnRootMismatch"], field)
    causes += seccomp(context.get("seccompProfile"), f"{field}.seccompProfile")
    causes += windows.options(context.get("windowsOptions"), f"{field}.windowsOptions")
    causes += app_armor(context.get("appArmorProfile"), f"{field}.appArmorProfile")
    causes += _word(context, "supplementalGroupsPolicy", ["Merge", "Strict"], field)
    return causes + _word(context, "seLinuxChangePolicy", ["Recursive"], field)


def _word(context: Obj, name: str, allowed: list[str], path: str) -> list[Cause]:
    value = context.get(name)
    return [] if value is None or value in allowed else [unsupported(f"{path}.{name}", value, allowed)]


def _sysctls(sysctls: list[Obj], spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, item in enumerate(sysctls):
        field, name = f"{path}[{position}].name", item.get("name") or ""
        if not name:
            causes.append(required(field))
        elif len(name) > 253 or not re.fullmatch(SYSCTL, name):
            text = f"must have at most 253 characters and match regex ^{SYSCTL}$"
            causes.append(bad(field, name, text))
        elif name in seen:
            causes.append(duplicate(field, name))
        seen.add(name)
        space = _namespace(name)
        for host, of in (("hostNetwork", "net"), ("hostIPC", "ipc")):
            if spec.get(host) and space == of:
                causes.append(bad(field, name, f"may not be specified when '{host}' is true"))
    return causes


def _namespace(sysctl: str) -> str:
    name = sysctl.replace("/", ".")
    found = next((space for prefix, space in NAMESPACED_PREFIXES.items() if name.startswith(prefix)), "")
    return NAMESPACED.get(name, found)


def host_users(spec: Obj, path: str) -> list[Cause]:
    """What a pod in a user namespace of its own cannot have."""
    if spec.get("hostUsers") is not False:
        return []
    text = "when `hostUsers` is false"
    shown = (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC"))
    causes = [forbidden(f"{path}.{name}", text) for field, name in shown if spec.get(field)]
    for container, field in containers(spec, path):
        if container.get("volumeDevices"):
            causes.append(forbidden(f"{field}.volumeDevices", text))
    return causes
