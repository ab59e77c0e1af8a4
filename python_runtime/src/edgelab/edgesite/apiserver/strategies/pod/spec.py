"""PodSpec and PodTemplateSpec (`pkg/apis/core/validation`: ValidatePodSpec)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    bad,
    duplicate,
    forbidden,
    not_found_value,
    required,
    too_long,
    unsupported,
)
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import (
    affinity,
    containers,
    podannotations,
    resources,
    security,
    volumes,
    windows,
)

Obj = dict[str, Any]

RESTART_POLICIES = ["Always", "OnFailure", "Never"]
DNS_POLICIES = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]
PREEMPTION = ["PreemptLowerPriority", "Never"]


def validate(spec: Obj, path: str, metadata: Obj | None = None) -> list[Cause]:
    """What is wrong with a PodSpec; `metadata` is given for a pod, not for a template."""
    causes = [] if "terminationGracePeriodSeconds" in spec else [_no_grace(path)]
    pod_name = (metadata or {}).get("name") or ""
    found, problems = volumes.volumes(spec, f"{path}.volumes", pod_name)
    causes += problems
    claims = frozenset(claim.get("name") or "" for claim in spec.get("resourceClaims") or ()) - {""}
    around = containers.Surroundings(spec, found, claims)
    causes += containers.resource_claims(metadata, spec, f"{path}.resourceClaims")
    causes += containers.regular(around, f"{path}.containers")
    causes += containers.init(around, f"{path}.initContainers")
    causes += containers.ephemeral(around, f"{path}.ephemeralContainers")
    causes += resources.pod_level(spec, claims, path)
    causes += _host_network(spec, path, pod=metadata is not None)
    causes += checks.choice(spec.get("restartPolicy") or "", f"{path}.restartPolicy", RESTART_POLICIES)
    causes += checks.choice(spec.get("dnsPolicy") or "", f"{path}.dnsPolicy", DNS_POLICIES)
    causes += checks.labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    causes += security.of_pod(spec, path) + affinity.affinity(spec, path) + _dns_config(spec, path)
    causes += _gates(spec, path) + affinity.spread(spec, path)
    every = list(security.containers(spec, path))
    causes += windows.host_process(spec, every, path) + security.host_users(spec, path)
    causes += _host_name(spec, path) + _names(spec, path)
    return causes + windows.system(spec, every, path) + _file_keys(spec, path)


def _no_grace(path: str) -> Cause:
    return required(f"{path}.terminationGracePeriodSeconds")


def _host_network(spec: Obj, path: str, *, pod: bool) -> list[Cause]:
    if not spec.get("hostNetwork"):
        return []
    causes: list[Cause] = []
    text = "must match `containerPort` when `hostNetwork` is true"
    for position, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            host, own = port.get("hostPort") or 0, port.get("containerPort") or 0
            if (pod or host) and host != own:
                field = f"{path}.containers[{position}].ports[{number}].hostPort"
                causes.append(bad(field, host, text))
    return causes


def _dns_config(spec: Obj, path: str) -> list[Cause]:
    config, field = spec.get("dnsConfig"), f"{path}.dnsConfig"
    servers = (config or {}).get("nameservers") or []
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(field, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not servers:
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [required(f"{field}.nameservers", text)]
    if config is None:
        return []
    causes: list[Cause] = []
    if len(servers) > 3:
        causes.append(bad(f"{field}.nameservers", servers, "must not have more than 3 nameservers"))
    for position, server in enumerate(servers):
        causes += checks.ip(server, f"{field}.nameservers[{position}]")
    searches = config.get("searches") or []
    if len(searches) > 32:
        causes.append(bad(f"{field}.searches", searches, "must not have more than 32 search paths"))
    if len(" ".join(searches)) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        causes.append(bad(f"{field}.searches", searches, text))
    for position, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            where = f"{field}.searches[{position}]"
            causes += checks.texts(names.underscored_subdomain, name, where)
    for position, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            causes.append(required(f"{field}.options[{position}]", "must not be empty"))
    return causes


def _gates(spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for position, gate in enumerate(spec.get("readinessGates") or ()):
        field = f"{path}.readinessGates[{position}].conditionType"
        causes += checks.label_name(gate.get("conditionType") or "", field)
    seen: set[str] = set()
    for position, gate in enumerate(spec.get("schedulingGates") or ()):
        field, name = f"{path}.schedulingGates[{position}]", gate.get("name") or ""
        causes += checks.label_name(name, field)
        if name in seen:
            causes.append(duplicate(field, name))
        seen.add(name)
    return causes


def _host_name(spec: Obj, path: str) -> list[Cause]:
    name, field = spec.get("hostnameOverride"), f"{path}.hostnameOverride"
    if name is None:
        return []
    causes: list[Cause] = []
    if spec.get("setHostnameAsFQDN"):
        causes.append(forbidden(field, "may not be specified when setHostnameAsFQDN is true"))
    if spec.get("hostNetwork"):
        causes.append(forbidden(field, "may not be specified when hostNetwork is true"))
    if len(name) > 64:
        causes.append(too_long(field, 64))
    return causes + checks.dns_subdomain(name, field)


def _names(spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            causes += checks.dns_subdomain(spec[field], f"{path}.{field}")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= checks.MAX_INT32:
        text = "must be between 1 and 2147483647, inclusive"
        causes.append(bad(f"{path}.activeDeadlineSeconds", deadline, text))
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            causes += checks.dns_label(spec[field], f"{path}.{field}")
    causes += affinity.tolerations(spec.get("tolerations") or [], f"{path}.tolerations")
    for position, alias in enumerate(spec.get("hostAliases") or ()):
        where = f"{path}.hostAliases[{position}]"
        causes += checks.ip(alias.get("ip") or "", f"{where}.ip")
        for number, name in enumerate(alias.get("hostnames") or ()):
            causes += checks.dns_subdomain(name, f"{where}.hostnames[{number}]")
    if spec.get("priorityClassName"):
        causes += checks.dns_subdomain(spec["priorityClassName"], f"{path}.priorityClassName")
    if spec.get("runtimeClassName") is not None:
        causes += checks.dns_subdomain(spec["runtimeClassName"], f"{path}.runtimeClassName")
    policy = spec.get("preemptionPolicy")
    if policy is not None:
        causes += checks.choice(policy, f"{path}.preemptionPolicy", PREEMPTION)
    if "overhead" in spec:
        causes += resources.requirements({"limits": spec["overhead"]}, f"{path}.overhead", ())
    return causes


def _file_keys(spec: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    sources = {volume.get("name") or "": volume for volume in spec.get("volumes") or ()}
    for container, field in security.containers(spec, path):
        for position, variable in enumerate(container.get("env") or ()):
            reference = (variable.get("valueFrom") or {}).get("fileKeyRef")
            if reference is None:
                continue
            name, where = reference.get("volumeName") or "", f"{field}.env[{position}].valueFrom.fileKeyRef"
            if name not in sources:
                causes.append(not_found_value(f"{where}.volumeName", name))
            elif "emptyDir" not in sources[name]:
                text = "referenced volume must be of type emptyDir"
                causes.append(bad(f"{where}.volumeName", name, text))
    return causes


def template(found: Obj, path: str) -> list[Cause]:
    """PodTemplateSpec."""
    metadata, spec = found.get("metadata") or {}, found.get("spec") or {}
    causes = checks.labels(metadata.get("labels"), f"{path}.labels")
    causes += checks.annotation_map(metadata.get("annotations"), f"{path}.annotations")
    causes += podannotations.of_pod(metadata.get("annotations"), spec, f"{path}.annotations")
    causes += validate(spec, f"{path}.spec") + podannotations.match_fields(metadata, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        causes.append(forbidden(f"{path}.spec.ephemeralContainers", text))
    return causes


def lasting(found: Obj, path: str, kind: str) -> list[Cause]:
    """The pods of a workload that keeps them running."""
    spec = found.get("spec") or {}
    causes: list[Cause] = []
    if spec.get("restartPolicy") != "Always":
        causes.append(unsupported(f"{path}.spec.restartPolicy", spec.get("restartPolicy"), ["Always"]))
    if "activeDeadlineSeconds" in spec:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        causes.append(forbidden(f"{path}.spec.activeDeadlineSeconds", text))
    return causes
