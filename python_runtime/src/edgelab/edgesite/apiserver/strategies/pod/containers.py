"""Containers of a pod: regular, init and ephemeral ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edgelab.edgesite.apiserver import layouts, names
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    bad,
    duplicate,
    forbidden,
    not_found_value,
    required,
)
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import environment, probes, resources, security

Obj = dict[str, Any]

PULL_POLICIES = ["Always", "IfNotPresent", "Never"]
MESSAGE_POLICIES = ["File", "FallbackToLogsOnError"]
RESIZE_POLICIES = ["NotRequired", "RestartContainer"]
NOT_EPHEMERAL = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)
NOT_INIT = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the pod around a container says."""

    spec: Obj
    volumes: dict[str, Obj]
    claims: frozenset[str]

    @property
    def grace(self) -> int | None:
        """Seconds until the pod is killed."""
        found: int | None = self.spec.get("terminationGracePeriodSeconds")
        return found

    @property
    def host_users(self) -> bool:
        """Whether users of the pod are users of the host."""
        return self.spec.get("hostUsers") is not False


def _common(container: Obj, around: Surroundings, path: str) -> list[Cause]:
    name, policy = container.get("name") or "", container.get("terminationMessagePolicy") or ""
    causes = checks.dns_label(name, f"{path}.name") if name else [required(f"{path}.name")]
    if not container.get("image"):
        causes.append(required(f"{path}.image"))
    causes += checks.choice(policy, f"{path}.terminationMessagePolicy", MESSAGE_POLICIES)
    causes += _ports(container, path)
    causes += environment.env(container, path) + environment.env_from(container, path)
    causes += environment.mounts(container, around.volumes, path)
    causes += environment.devices(container, around.volumes, path)
    pull = container.get("imagePullPolicy") or ""
    causes += checks.choice(pull, f"{path}.imagePullPolicy", PULL_POLICIES)
    found = container.get("resources") or {}
    causes += resources.requirements(found, f"{path}.resources", around.claims)
    causes += _resize_policy(container, around.spec.get("restartPolicy"), f"{path}.resizePolicy")
    context, field = container.get("securityContext"), f"{path}.securityContext"
    return causes + security.of_container(context, field, host_users=around.host_users)


def _ports(container: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, port in enumerate(container.get("ports") or ()):
        field, name = f"{path}.ports[{position}]", port.get("name") or ""
        problems = names.port_name(name) if name else []
        if problems:
            causes += [bad(f"{field}.name", name, text) for text in problems]
        elif name and name in seen:
            causes.append(duplicate(f"{field}.name", name))
        elif name:
            seen.add(name)
        number, host = port.get("containerPort") or 0, port.get("hostPort") or 0
        where = f"{field}.containerPort"
        causes += checks.port_number(number, where) if number else [required(where)]
        causes += checks.port_number(host, f"{field}.hostPort") if host else []
        causes += checks.choice(port.get("protocol") or "", f"{field}.protocol", checks.PROTOCOLS)
    return causes


def _resize_policy(container: Obj, restart: str | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, item in enumerate(container.get("resizePolicy") or ()):
        name, policy = item.get("resourceName") or "", item.get("restartPolicy") or ""
        if name in seen:
            causes.append(duplicate(f"{path}[{position}]", name))
        seen.add(name)
        causes += checks.choice(name, path, ["cpu", "memory"])
        causes += checks.choice(policy, path, RESIZE_POLICIES)
        if restart == "Never" and policy != "NotRequired":
            text = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            causes.append(bad(path, policy, text))
    return causes


def _host_ports(containers: Iterable[Obj], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, container in enumerate(containers):
        for number, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            text = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if text in seen:
                causes.append(duplicate(f"{path}[{position}].ports[{number}].hostPort", text))
            seen.add(text)
    return causes


def regular(around: Surroundings, path: str) -> list[Cause]:
    """`spec.containers`."""
    containers = around.spec.get("containers") or []
    if not containers:
        return [required(path)]
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, container in enumerate(containers):
        field, name = f"{path}[{position}]", container.get("name") or ""
        causes += _common(container, around, field)
        if name in seen:
            causes.append(duplicate(f"{field}.name", name))
        seen.add(name)
        causes += _running(container, around, field)
    return causes + _host_ports(containers, path)


def _running(container: Obj, around: Surroundings, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if "lifecycle" in container:
        found, system = container["lifecycle"], around.spec.get("os")
        causes += probes.lifecycle(found, around.grace, f"{path}.lifecycle", system)
    return causes + probes.probes(container, path)


def init(around: Surroundings, path: str) -> list[Cause]:
    """`spec.initContainers`."""
    causes: list[Cause] = []
    seen = {container.get("name") or "" for container in around.spec.get("containers") or ()}
    for position, container in enumerate(around.spec.get("initContainers") or ()):
        field, name = f"{path}[{position}]", container.get("name") or ""
        causes += _common(container, around, field)
        policy = container.get("restartPolicy")
        if name in seen:
            causes.append(duplicate(f"{field}.name", name))
        elif name:
            seen.add(name)
        causes += _host_ports([container], path)
        if policy == "Always":
            causes += _running(container, around, field)
        else:
            text = "may not be set for init containers without restartPolicy=Always"
            causes += [forbidden(f"{field}.{what}", text) for what in NOT_INIT if what in container]
    return causes


def ephemeral(around: Surroundings, path: str) -> list[Cause]:
    """`spec.ephemeralContainers`."""
    spec = around.spec
    others = {c.get("name") or "" for f in ("containers", "initContainers") for c in spec.get(f) or ()}
    seen = set(others)
    causes: list[Cause] = []
    for position, container in enumerate(spec.get("ephemeralContainers") or ()):
        field, name = f"{path}[{position}]", container.get("name") or ""
        causes += _common(container, around, field) + padded_image(container, field)
        if name in seen:
            causes.append(duplicate(f"{field}.name", name))
        seen.add(name)
        target = container.get("targetContainerName") or ""
        if target and target not in others:
            causes.append(not_found_value(f"{field}.targetContainerName", target))
        text = "cannot be set for an Ephemeral Container"
        causes += [forbidden(f"{field}.{what}", text) for what in NOT_EPHEMERAL if container.get(what)]
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            for what in ("subPath", "subPathExpr"):
                if mount.get(what):
                    causes.append(forbidden(f"{field}.volumeMounts[{number}].{what}", text))
    return causes


def padded_image(container: Obj, path: str) -> list[Cause]:
    """Pods (not templates) have images without spaces around."""
    image = container.get("image") or ""
    text = "must not have leading or trailing whitespace"
    return [] if image == image.strip() else [bad(f"{path}.image", image, text)]


def resource_claims(metadata: Obj | None, spec: Obj, path: str) -> list[Cause]:
    """`spec.resourceClaims`."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, claim in enumerate(spec.get("resourceClaims") or ()):
        field, name = f"{path}[{position}]", claim.get("name") or ""
        if not name:
            causes.append(required(f"{field}.name"))
        elif name in seen:
            causes.append(duplicate(f"{field}.name", name))
        else:
            causes += checks.dns_label(name, f"{field}.name")
            seen.add(name)
        given = [what for what in ("resourceClaimName", "resourceClaimTemplateName") if what in claim]
        shown = layouts.shown("core.PodResourceClaim", claim) if len(given) != 1 else None
        if len(given) == 2:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            causes.append(bad(field, shown, text))
        if not given:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            causes.append(bad(field, shown, text))
        for what in given:
            causes += checks.dns_subdomain(claim[what], f"{field}.{what}")
    return causes
