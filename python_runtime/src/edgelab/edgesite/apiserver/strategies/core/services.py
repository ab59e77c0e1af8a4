"""Services; addresses and node ports are given out in `apiserver/addresses.py`."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import names, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, Shown, bad, duplicate, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.core import clusterips
from edgelab.edgesite.apiserver.strategies.core.clusterips import is_headless, spec_of
from edgelab.edgesite.apiserver.strategies.core.servicetypes import (
    accessible,
    default,
    needs_health_check,
    on_create,
    on_update,
)
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]
AFFINITIES = ["ClientIP", "None"]
POLICIES = ["Cluster", "Local"]
DISTRIBUTIONS = ["PreferClose", "PreferSameZone", "PreferSameNode"]
MAX_AFFINITY = 86400
HINTS, MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
ONLY_BALANCED = "may only be used when `type` is 'LoadBalancer'"
STICKY = "when session affinity type is ClientIP"


def validate(obj: Obj, old: Obj | None = None) -> list[Cause]:
    """What is wrong with a Service (validateService)."""
    spec, annotations = spec_of(obj), obj["metadata"].get("annotations") or {}
    causes: list[Cause] = []
    if MODE in annotations and HINTS in annotations and annotations[MODE] != annotations[HINTS]:
        text = f"must match annotations[{HINTS}] when both are specified"
        causes.append(bad(f"metadata.annotations[{MODE}]", annotations[MODE], text))
    kind, ports = spec.get("type") or "", spec.get("ports") or []
    if not ports and not is_headless(spec) and kind != "ExternalName":
        causes.append(required("spec.ports"))
    causes += _of_type(spec, kind) + _ports(ports) + checks.labels(spec.get("selector"), "spec.selector")
    causes += _affinity(spec) + clusterips.related(obj, old)
    known = spec_of(old).get("externalIPs") or []
    for position, address in enumerate(spec.get("externalIPs") or ()):
        field = f"spec.externalIPs[{position}]"
        problems = [] if address in known else checks.ip(address, field)
        causes += problems or checks.endpoint_ip(address, field)
    causes += checks.choice(kind, "spec.type", TYPES) + _numbers(spec, kind)
    causes += _ranges(spec, kind, annotations, old) + _balanced(spec, kind) + _external(spec)
    policy = spec.get("internalTrafficPolicy")
    if policy is None and kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        causes.append(required("spec.internalTrafficPolicy"))
    if policy is not None and policy not in POLICIES:
        causes.append(unsupported("spec.internalTrafficPolicy", policy, POLICIES))
    way = spec.get("trafficDistribution")
    if way is not None and way not in DISTRIBUTIONS:
        causes.append(unsupported("spec.trafficDistribution", way, DISTRIBUTIONS))
    return causes


def _of_type(spec: Obj, kind: str) -> list[Cause]:
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        text = f"may not be set to 'None' for {kind} services"
        return [bad("spec.clusterIPs[0]", "None", text)]
    if kind != "ExternalName":
        return []
    text = "may not be set for ExternalName services"
    causes = [forbidden(f"spec.{f}", text) for f in ("clusterIPs", "ipFamilies") if spec.get(f)]
    if "ipFamilyPolicy" in spec:
        causes.append(forbidden("spec.ipFamilyPolicy", text))
    name = (spec.get("externalName") or "").removesuffix(".")
    field = "spec.externalName"
    return causes + (checks.dns_subdomain(name, field) if name else [required(field)])


def _ports(ports: list[Obj]) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, port in enumerate(ports):
        field, name = f"spec.ports[{position}]", port.get("name") or ""
        if name:
            causes += checks.dns_label(name, f"{field}.name")
            if name in seen:
                causes.append(duplicate(f"{field}.name", name))
            seen.add(name)
        elif len(ports) > 1:
            causes.append(required(f"{field}.name"))
        causes += checks.port_number(port.get("port") or 0, f"{field}.port")
        causes += checks.choice(port.get("protocol") or "", f"{field}.protocol", checks.PROTOCOLS)
        causes += checks.port_number_or_name(port.get("targetPort"), f"{field}.targetPort")
        if port.get("appProtocol") is not None:
            causes += checks.label_name(port["appProtocol"], f"{field}.appProtocol")
    return causes


def _affinity(spec: Obj) -> list[Cause]:
    kind, config, field = spec.get("sessionAffinity") or "", spec.get("sessionAffinityConfig"), ""
    causes = checks.choice(kind, "spec.sessionAffinity", AFFINITIES)
    field = "spec.sessionAffinityConfig"
    if kind == "None" and config is not None:
        text = "must not be set when session affinity is None"
        causes.append(forbidden(field, text))
    if kind != "ClientIP":
        return causes
    if config is None:
        return [*causes, required(field, STICKY)]
    seconds = (config.get("clientIP") or {}).get("timeoutSeconds")
    if seconds is None:
        return [*causes, required(f"{field}.clientIP", STICKY)]
    if not 0 < seconds <= MAX_AFFINITY:
        text = f"must be greater than 0 and less than {MAX_AFFINITY}"
        causes.append(bad(f"{field}.clientIP.timeoutSeconds", seconds, text))
    return causes


def _numbers(spec: Obj, kind: str) -> list[Cause]:
    ports, causes = spec.get("ports") or [], []
    for position, port in enumerate(ports):
        if kind == "ClusterIP" and port.get("nodePort"):
            text = "may not be used when `type` is 'ClusterIP'"
            causes.append(forbidden(f"spec.ports[{position}].nodePort", text))
    seen: set[Any] = set()
    for position, port in enumerate(ports):
        key = (port.get("protocol"), port.get("nodePort") or 0)
        if key[1] and key in seen:
            causes.append(duplicate(f"spec.ports[{position}].nodePort", key[1]))
        seen.add(key)
    seen = set()
    for position, port in enumerate(ports):
        key = (port.get("protocol") or "", port.get("port") or 0)
        if key in seen:
            shown = Shown(Name="", Protocol=key[0], AppProtocol=None, Port=key[1], TargetPort=0, NodePort=0)
            causes.append(duplicate(f"spec.ports[{position}]", shown))
        seen.add(key)
    return causes


def _ranges(spec: Obj, kind: str, annotations: Obj, old: Obj | None) -> list[Cause]:
    causes: list[Cause] = []
    ranges, field = spec.get("loadBalancerSourceRanges") or [], "spec.LoadBalancerSourceRanges"
    if ranges:
        if kind != "LoadBalancer":
            causes.append(forbidden(field, ONLY_BALANCED))
        known = [item.strip() for item in spec_of(old).get("loadBalancerSourceRanges") or ()]
        for position, item in enumerate(ranges):
            value = item.strip()
            causes += [] if value in known else checks.cidr(value, f"{field}[{position}]")
    elif RANGES in annotations:
        field, text = f"metadata.annotations[{RANGES}]", annotations[RANGES]
        if kind != "LoadBalancer":
            causes.append(forbidden(field, ONLY_BALANCED))
        before = ((old or {"metadata": {}})["metadata"].get("annotations") or {}).get(RANGES)
        if before != text and text.strip():
            for item in text.strip().split(","):
                causes += checks.cidr(item.strip(), field)
    return causes


def _balanced(spec: Obj, kind: str) -> list[Cause]:
    causes: list[Cause] = []
    given = "allocateLoadBalancerNodePorts" in spec
    if given and kind != "LoadBalancer":
        causes.append(forbidden("spec.allocateLoadBalancerNodePorts", ONLY_BALANCED))
    if kind == "LoadBalancer" and not given:
        causes.append(required("allocateLoadBalancerNodePorts"))
    return causes + _class(spec, kind)


def _class(spec: Obj, kind: str) -> list[Cause]:
    name, field = spec.get("loadBalancerClass"), "spec.loadBalancerClass"
    if name is None:
        return []
    return checks.label_name(name, field) if kind == "LoadBalancer" else [forbidden(field, ONLY_BALANCED)]


def _external(spec: Obj) -> list[Cause]:
    policy, field = spec.get("externalTrafficPolicy") or "", "spec.externalTrafficPolicy"
    causes: list[Cause] = []
    if not accessible(spec):
        text = "may only be set for externally-accessible services"
        causes += [bad(field, policy, text)] if policy else []
    else:
        causes += checks.choice(policy, field, POLICIES)
    port, field = spec.get("healthCheckNodePort") or 0, "spec.healthCheckNodePort"
    if needs_health_check(spec):
        causes += checks.port_number(port, field) if port else [required(field)]
    elif port:
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        causes.append(bad(field, port, text))
    return causes


def changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateServiceUpdate."""
    causes = objectmeta.changed(new, old) + clusterips.changed(new, old)
    mine, theirs = spec_of(new), spec_of(old)
    balanced, shown = mine.get("type") == theirs.get("type") == "LoadBalancer", mine.get("loadBalancerClass")
    if balanced and shown != theirs.get("loadBalancerClass"):
        causes.append(bad("spec.loadBalancerClass", shown, "may not change once set"))
    causes += _class(mine, mine.get("type") or "")
    ports = {spec.get("healthCheckNodePort") for spec in (mine, theirs)}
    if needs_health_check(mine) and needs_health_check(theirs) and len(ports) > 1:
        causes.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
    return causes + validate(new, old)


def status_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateServiceStatusUpdate."""
    causes = objectmeta.changed(new, old)
    if (new.get("spec") or {}).get("type") != "LoadBalancer" and _ingress(new):
        text = "may only be used when `spec.type` is 'LoadBalancer'"
        return [*causes, forbidden("status.loadBalancer.ingress", text)]
    known = {item.get("ip") for item in _ingress(old)}
    for position, item in enumerate(_ingress(new)):
        field, address, mode = f"status.loadBalancer.ingress[{position}]", item.get("ip"), item.get("ipMode")
        if address and address not in known:
            causes += checks.ip(address, f"{field}.ip")
        if address and mode is None:
            causes.append(required(f"{field}.ipMode", "must be specified when `ip` is set"))
        elif mode is not None and not address:
            text = "may not be specified when `ip` is not set"
            causes.append(forbidden(f"{field}.ipMode", text))
        elif mode is not None and mode not in ("Proxy", "VIP"):
            causes.append(unsupported(f"{field}.ipMode", mode, ["Proxy", "VIP"]))
        causes += host_name(item, field)
    return causes


def _ingress(obj: Obj) -> list[Obj]:
    found: list[Obj] = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return found


def host_name(item: Obj, path: str) -> list[Cause]:
    """The name of a load balancer."""
    name = item.get("hostname") or ""
    if not name:
        return []
    causes = checks.texts(names.subdomain, name, f"{path}.hostname")
    if checks.parse_ip(name) is not None:
        causes.append(bad(f"{path}.hostname", name, "must be a DNS name, not an IP address"))
    return causes


SERVICE = Strategy(
    default=default,
    on_create=on_create,
    on_update=on_update,
    validate=validate,
    validate_update=changed,
    parts={"status": Part(validate=status_changed)},
    keeps_status_on_create=True,
    returns_deleted=True,
    creates_on_update=True,
    has_generation=False,
)
