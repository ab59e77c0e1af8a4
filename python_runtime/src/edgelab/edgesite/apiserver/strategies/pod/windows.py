"""What pods for Windows may and may not say."""

from __future__ import annotations

import re
from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks

Obj = dict[str, Any]

SYSTEMS = ["linux", "windows"]
DNS_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
NETBIOS = r'[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}'
NOT_FOR_POD = (
    "appArmorProfile",
    "seLinuxOptions",
    "^hostUsers",
    "^hostPID",
    "^hostIPC",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "^shareProcessNamespace",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
)
NOT_FOR_CONTAINER = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def options(found: Obj | None, path: str) -> list[Cause]:
    """WindowsSecurityContextOptions."""
    if found is None:
        return []
    causes: list[Cause] = []
    if found.get("gmsaCredentialSpecName") is not None:
        name = found["gmsaCredentialSpecName"]
        causes += checks.dns_subdomain(name, f"{path}.gmsaCredentialSpecName")
    spec, field = found.get("gmsaCredentialSpec"), f"{path}.gmsaCredentialSpec"
    if spec == "":
        causes.append(bad(field, spec, "gmsaCredentialSpec cannot be an empty string"))
    elif spec is not None and len(spec) > 64 << 10:
        causes.append(bad(field, spec, "gmsaCredentialSpec size must be under 64 KiB"))
    user = found.get("runAsUserName")
    if user is not None:
        causes += [bad(f"{path}.runAsUserName", user, f"runAsUserName{text}") for text in _user(user)]
    return causes


def _user(value: str) -> list[str]:
    if not value:
        return [" cannot be an empty string"]
    if re.search(r"[\x00-\x1f\x7f]", value):
        return [" cannot contain control characters"]
    parts = value.split("\\")
    if len(parts) > 2:
        return [" cannot contain more than one backslash"]
    problems, user = [], parts[-1]
    domain = parts[0] if len(parts) == 2 else None
    if domain is not None and len(domain) >= 256:
        problems.append("'s Domain length must be under 256 characters")
    named = rf"{DNS_LABEL}(?:\.{DNS_LABEL})*"
    if domain is not None and not (re.fullmatch(NETBIOS, domain) or re.fullmatch(named, domain)):
        problems.append("'s Domain doesn't match the NetBios nor the DNS format")
    if not user:
        problems.append("'s User cannot be empty")
    elif len(user) > 104:
        problems.append("'s User length must not be longer than 104 characters")
    if re.fullmatch(r"[\. ]+", user):
        problems.append("'s User cannot contain only periods or spaces")
    if re.search(r'["/\\:;|=,\+\*\?<>@\[\]]', user):
        problems.append("""'s User cannot contain the following characters: "/\\:;|=,+*?<>@[]""")
    return problems


def host_process(spec: Obj, containers: list[tuple[Obj, str]], path: str) -> list[Cause]:
    """HostProcess containers: all of a pod or none."""
    of_pod = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    causes: list[Cause] = []
    number = 0
    for container, field in containers:
        own = ((container.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
        if of_pod is not None and own is not None and of_pod != own:
            text = "pod hostProcess value must be identical if both are specified, was " + str(of_pod).lower()
            causes.append(bad(f"{field}.securityContext.windowsOptions.hostProcess", own, text))
        number += bool(own if own is not None else of_pod)
    if not number:
        return causes
    if number != len(containers):
        text = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        causes.append(bad(path, "", text))
    if not spec.get("hostNetwork"):
        text = "hostNetwork must be true if pod contains any hostProcess containers"
        causes.append(bad(f"{path}.hostNetwork", False, text))
    return causes


def system(spec: Obj, containers: list[tuple[Obj, str]], path: str) -> list[Cause]:
    """`spec.os` and what does not go with it."""
    found = spec.get("os")
    if found is None:
        return []
    name = found.get("name") or ""
    if not name:
        return [required(f"{path}.os.name")]
    if name not in SYSTEMS:
        return [unsupported(f"{path}.os", name, SYSTEMS)]
    context = spec.get("securityContext") or {}
    if name == "windows":
        return _windows(spec, context, containers, path)
    text = "windows options cannot be set for a linux pod"
    paths = [f"{path}.securityContext"] if context.get("windowsOptions") is not None else []
    paths += [
        f"{field}.securityContext"
        for container, field in containers
        if (container.get("securityContext") or {}).get("windowsOptions") is not None
    ]
    return [forbidden(f"{where}.windowsOptions", text) for where in paths]


def _windows(spec: Obj, context: Obj, containers: list[tuple[Obj, str]], path: str) -> list[Cause]:
    text = "cannot be set for a windows pod"
    causes: list[Cause] = []
    for name in NOT_FOR_POD:
        own = name.startswith("^")
        value = spec.get(name[1:]) if own else context.get(name)
        empty = value is None or (name in ("^hostPID", "^hostIPC", "sysctls") and not value)
        where = f"{path}.{name[1:]}" if own else f"{path}.securityContext.{name}"
        causes += [] if empty else [forbidden(where, text)]
    for container, field in containers:
        inner = container.get("securityContext") or {}
        causes += [
            forbidden(f"{field}.securityContext.{name}", text)
            for name in NOT_FOR_CONTAINER
            if inner.get(name) is not None
        ]
    return causes
