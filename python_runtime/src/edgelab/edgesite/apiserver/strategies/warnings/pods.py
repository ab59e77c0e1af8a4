"""Pods and templates of pods (`pkg/api/pod/warnings.go`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver.strategies.warnings import overlaps
from edgelab.edgesite.apiserver.strategies.warnings.common import (
    NODE_LABELS,
    address,
    claim_spec,
    fractional,
    term,
)

Obj = dict[str, Any]

SCHEDULING = "DuringSchedulingIgnoredDuringExecution"
SYSCTLS = 'non-functional in v1.11+; use the "sysctls" field instead'
ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": SYSCTLS,
}
SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "ephemeral": "",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
SHOWN = {"storageos": "storageOS"}
BYTES = ("memory", "ephemeral-storage")
NO_POD = "a null labelSelector results in matching no pod"


def warnings(pod: Obj, path: str = "") -> list[str]:
    """What to say of a pod, or of the template at `path`."""
    start = f"{path}." if path else ""
    spec, annotations = pod.get("spec") or {}, (pod.get("metadata") or {}).get("annotations") or {}
    at = f"{start}spec"
    containers = list(_containers(spec, at))
    texts = [*_nodes(spec, at), *_spread(spec, at)]
    texts += [f"{start}metadata.annotations[{k}]: {v}" for k, v in ANNOTATIONS.items() if k in annotations]
    texts += [*_volumes(spec, at), *_twice(spec, at)]
    texts += fractional(spec.get("overhead"), BYTES, f"{at}.overhead")
    texts += _seccomp(spec, annotations, f"{start}metadata.annotations")
    for container, field in containers:
        texts += _container(container, field, annotations, f"{start}metadata.annotations")
    texts += [*_ports(containers), *_port_names(containers)]
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        texts.append(f"{at}.terminationGracePeriodSeconds: {text}")
    return [*texts, *_pod_affinity(spec, at), *_addresses(spec, at)]


def _containers(spec: Obj, at: str) -> Iterator[tuple[Obj, str]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for position, container in enumerate(spec.get(kind) or ()):
            yield container, f"{at}.{kind}[{position}]"


def _nodes(spec: Obj, at: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if key in NODE_LABELS:
            yield f"{at}.nodeSelector[{key}]: {NODE_LABELS[key]}"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    field = f"{at}.affinity.nodeAffinity"
    required = (affinity.get(f"required{SCHEDULING}") or {}).get("nodeSelectorTerms") or ()
    for position, found in enumerate(required):
        yield from term(found, f"{field}.required{SCHEDULING}.nodeSelectorTerms[{position}]")
    for position, found in enumerate(affinity.get(f"preferred{SCHEDULING}") or ()):
        where = f"{field}.preferred{SCHEDULING}[{position}].preference"
        yield from term(found.get("preference") or {}, where, values=True)


def _spread(spec: Obj, at: str) -> Iterator[str]:
    for position, found in enumerate(spec.get("topologySpreadConstraints") or ()):
        field, key = f"{at}.topologySpreadConstraints[{position}]", found.get("topologyKey") or ""
        if key in NODE_LABELS:
            yield f"{field}.topologyKey: {key} is {NODE_LABELS[key]}"
        if found.get("labelSelector") is None:
            yield f"{field}.labelSelector: {NO_POD}"


def _volumes(spec: Obj, at: str) -> Iterator[str]:
    volumes = spec.get("volumes") or ()
    for position, volume in enumerate(volumes):
        for name, text in VOLUMES.items():
            if name not in volume:
                continue
            field = f"{at}.volumes[{position}].{SHOWN.get(name, name)}"
            if text:
                yield f"{field}: {text}"
            elif "volumeClaimTemplate" in volume[name]:
                claim = volume[name]["volumeClaimTemplate"].get("spec") or {}
                yield from claim_spec(claim, f"{field}.volumeClaimTemplate.spec")
    yield from overlaps.warnings(volumes)


def _twice(spec: Obj, at: str) -> Iterator[str]:
    for field, key in (("hostAliases", "ip"), ("imagePullSecrets", "name")):
        seen: set[str] = set()
        for position, item in enumerate(spec.get(field) or ()):
            value = item.get(key) or ""
            if value in seen:
                yield f'{at}.{field}[{position}].{key}: duplicate {key} "{value}"'
            seen.add(value)
    for position, item in enumerate(spec.get("imagePullSecrets") or ()):
        if not item.get("name"):
            yield f'{at}.imagePullSecrets[{position}].name: invalid empty name ""'


def _seccomp(spec: Obj, annotations: Obj, at: str) -> list[str]:
    key = "seccomp.security.alpha.kubernetes.io/pod"
    has_field = (spec.get("securityContext") or {}).get("seccompProfile") is not None
    return [f"{at}[{key}]: {SECCOMP}"] if key in annotations and not has_field else []


def _container(container: Obj, field: str, annotations: Obj, at: str) -> list[str]:
    key = f"container.seccomp.security.alpha.kubernetes.io/{container.get('name') or ''}"
    has_field = (container.get("securityContext") or {}).get("seccompProfile") is not None
    texts = [f"{at}[{key}]: {SECCOMP}"] if key in annotations and not has_field else []
    resources = container.get("resources") or {}
    for name in BYTES:
        for kind in ("limits", "requests"):
            texts += fractional(resources.get(kind), (name,), f"{field}.resources.{kind}")
    return [*texts, *_environment(container, field)]


def _environment(container: Obj, field: str) -> Iterator[str]:
    seen: set[str] = set()
    for position, item in enumerate(container.get("env") or ()):
        name, value = item.get("name") or "", item.get("value") or ""
        reference = f"$({name})"
        if name in seen and ("valueFrom" in item or value == reference or reference not in value):
            text = f'hides previous definition of "{name}", which may be dropped when using apply'
            yield f"{field}.env[{position}]: {text}"
        seen.add(name)


def _ports(containers: list[tuple[Obj, str]]) -> Iterator[str]:
    seen: dict[tuple[Any, Any], list[tuple[str, Obj]]] = {}
    for container, at in containers:
        for position, port in enumerate(container.get("ports") or ()):
            field = f"{at}.ports[{position}]"
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{field}: hostIP set without hostPort: {_shown(port)}"
            others = seen.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for where, other in others:
                how = _clash(port, other)
                if how:
                    yield f"{field}: {how} port definition with {where}"
            others.append((field, port))


def _clash(one: Obj, other: Obj) -> str:
    addresses = [port.get("hostIP") or "" for port in (one, other)]
    ports = [port.get("hostPort") or 0 for port in (one, other)]
    if addresses[0] == addresses[1] and ports[0] == ports[1]:
        return "duplicate"
    if 0 in ports:
        return "overlapping"
    return "dangerously ambiguous" if ports[0] == ports[1] and addresses.count("") == 1 else ""


def _shown(port: Obj) -> str:
    fields = ("Name", "name"), ("HostPort", "hostPort"), ("ContainerPort", "containerPort")
    texts = [f"{title}:{port.get(name) or (0 if 'Port' in title else '')}" for title, name in fields]
    rest = f"Protocol:{port.get('protocol') or ''} HostIP:{port.get('hostIP') or ''}"
    return "{" + " ".join([*texts, rest]) + "}"


def _port_names(containers: list[tuple[Obj, str]]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for container, at in containers:
        for position, port in enumerate(container.get("ports") or ()):
            name, field = port.get("name"), f"{at}.ports[{position}]"
            if not name:
                continue
            other = seen.setdefault(name, field)
            if other != field:
                yield (
                    f'{field}: duplicate port name "{name}" with {other}, services and probes that select'
                    f" ports by name will use {other}"
                )


def _pod_affinity(spec: Obj, at: str) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity, field = (spec.get("affinity") or {}).get(kind) or {}, f"{at}.affinity.{kind}"
        for position, found in enumerate(affinity.get(f"required{SCHEDULING}") or ()):
            if found.get("labelSelector") is None:
                yield f"{field}.required{SCHEDULING}[{position}].labelSelector: {NO_POD}"
        for position, found in enumerate(affinity.get(f"preferred{SCHEDULING}") or ()):
            if (found.get("podAffinityTerm") or {}).get("labelSelector") is None:
                where = f"{field}.preferred{SCHEDULING}[{position}].podAffinityTerm"
                yield f"{where}.labelSelector: {NO_POD}"


def _addresses(spec: Obj, at: str) -> Iterator[str]:
    for position, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        yield from address(server, f"{at}.dnsConfig.nameservers[{position}]")
    for position, alias in enumerate(spec.get("hostAliases") or ()):
        yield from address(alias.get("ip") or "", f"{at}.hostAliases[{position}].ip")
