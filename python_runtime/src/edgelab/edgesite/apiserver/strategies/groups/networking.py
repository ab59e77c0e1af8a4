"""Ingresses and their classes, network policies, addresses of Services (`pkg/apis/networking`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import names, objectmeta
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    bad,
    forbidden,
    required,
    too_long,
    unsupported,
)
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.core.services import host_name
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

GROUP = "networking.k8s.io"
CLASS_ANNOTATION = "kubernetes.io/ingress.class"
PATH_TYPES = ["Exact", "ImplementationSpecific", "Prefix"]
SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
SUFFIXES = ("/..", "/.")
ABSOLUTE = "must be an absolute path"
NOT_AN_ADDRESS = "must be a DNS name, not an IP address"


def ingress(obj: Obj) -> list[Cause]:
    """ValidateIngressCreate."""
    causes, spec = _ingress(obj), obj.get("spec") or {}
    given, name = (
        (obj["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION),
        spec.get("ingressClassName"),
    )
    if given is not None and name is not None and given != name:
        text = "must match `ingressClassName` when both are specified"
        causes.append(bad(f"annotations.{CLASS_ANNOTATION}", given, text))
    return causes


def _ingress(obj: Obj) -> list[Cause]:
    spec = obj.get("spec") or {}
    rules, backend, causes = spec.get("rules") or [], spec.get("defaultBackend"), []
    if not rules and backend is None:
        text = "either `defaultBackend` or `rules` must be specified"
        causes.append(bad("spec", spec.get("rules"), text))
    if backend is not None:
        causes += _backend(backend, "spec.defaultBackend")
    for position, rule in enumerate(rules):
        causes += _rule(rule, f"spec.rules[{position}]")
    for position, item in enumerate(spec.get("tls") or ()):
        causes += _tls(item, f"spec.tls[{position}]")
    if spec.get("ingressClassName") is not None:
        causes += checks.dns_subdomain(spec["ingressClassName"], "spec.ingressClassName")
    return causes


def _host(host: str, path: str) -> list[Cause]:
    check = names.wildcard_subdomain if "*" in host else names.subdomain
    return checks.texts(check, host, path)


def _tls(item: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for position, host in enumerate(item.get("hosts") or ()):
        causes += _host(host, f"{path}.hosts[{position}]")
    name = item.get("secretName") or ""
    return causes + (checks.dns_subdomain(name, f"{path}.secretName") if name else [])


def _rule(rule: Obj, path: str) -> list[Cause]:
    host, http, causes = rule.get("host") or "", rule.get("http"), []
    if host:
        if checks.parse_ip(host) is not None:
            causes.append(bad(f"{path}.host", host, NOT_AN_ADDRESS))
        causes += _host(host, f"{path}.host")
    if http is None:
        return causes
    paths = http.get("paths") or []
    causes += [] if paths else [required(f"{path}.http.paths")]
    for position, item in enumerate(paths):
        causes += _path(item, f"{path}.http.paths[{position}]")
    return causes


def _path(item: Obj, path: str) -> list[Cause]:
    kind, where, causes = item.get("pathType"), item.get("path") or "", []
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    field = f"{path}.path"
    if kind in ("Exact", "Prefix"):
        causes += [] if where.startswith("/") else [bad(field, where, ABSOLUTE)]
        causes += [bad(field, where, f"must not contain '{part}'") for part in SEQUENCES if part in where]
        ends = [part for part in SUFFIXES if where.endswith(part)]
        causes += [bad(field, where, f"cannot end with '{part}'") for part in ends]
    elif kind == "ImplementationSpecific":
        causes += [bad(field, where, ABSOLUTE)] if where and not where.startswith("/") else []
    else:
        causes.append(unsupported(f"{path}.pathType", kind, PATH_TYPES))
    return causes + _backend(item.get("backend") or {}, f"{path}.backend")


def _backend(backend: Obj, path: str) -> list[Cause]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [bad(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference(resource, f"{path}.resource")
    if service is None:
        return [bad(path, "", "resource or service backend is required")]
    name, port = service.get("name") or "", service.get("port") or {}
    field = f"{path}.service.name"
    causes = checks.texts(names.service_label, name, field) if name else [required(field)]
    if port.get("name") and port.get("number"):
        causes.append(bad(path, "", "cannot set both port name & port number"))
    elif port.get("name"):
        causes += checks.texts(names.port_name, port["name"], f"{path}.service.port.name")
    elif port.get("number"):
        causes += checks.port_number(port["number"], f"{path}.service.port.number")
    else:
        causes.append(required(path, "port name or number is required"))
    return causes


def _reference(found: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if found.get("apiGroup") is not None:
        causes += checks.dns_subdomain(found["apiGroup"], f"{path}.apiGroup")
    for field in ("kind", "name"):
        value, where = found.get(field) or "", f"{path}.{field}"
        causes += checks.texts(names.path_segment, value, where) if value else [required(where)]
    return causes


def ingress_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateIngressUpdate."""
    return objectmeta.changed(new, old) + objectmeta.of_kind(new, GROUP, "Ingress") + _ingress(new)


def ingress_status(new: Obj, old: Obj) -> list[Cause]:
    """Addresses of the load balancer."""
    causes = objectmeta.changed(new, old)
    for position, item in enumerate(
        ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    ):
        field = f"status.loadBalancer.ingress[{position}]"
        causes += checks.ip(item["ip"], f"{field}.ip") if item.get("ip") else []
        causes += host_name(item, field)
    return causes


def class_default(obj: Obj) -> None:
    """Parameters are found in the cluster unless said otherwise."""
    parameters = (obj.get("spec") or {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


def ingress_class(obj: Obj) -> list[Cause]:
    """ValidateIngressClass."""
    spec = obj.get("spec") or {}
    controller, parameters = spec.get("controller") or "", spec.get("parameters")
    causes = [too_long("spec.controller", 250)] if len(controller) > 250 else []
    causes += checks.domain_prefixed_path(controller, "spec.controller")
    if parameters is None:
        return causes
    field = "spec.parameters"
    causes += _reference(parameters, field)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope not in ("Cluster", "Namespace"):
        return [*causes, unsupported(f"{field}.scope", scope, ["Cluster", "Namespace"])]
    where = f"{field}.namespace"
    if scope == "Cluster":
        text = "`parameters.scope` is set to 'Cluster'"
        return causes + ([forbidden(where, text)] if namespace is not None else [])
    if namespace is None:
        return [*causes, required(where, "`parameters.scope` is set to 'Namespace'")]
    return causes + checks.dns_label(namespace, where)


def ingress_class_changed(new: Obj, old: Obj) -> list[Cause]:
    """The controller of a class stays."""
    mine, theirs = ((obj.get("spec") or {}).get("controller") or "" for obj in (new, old))
    causes = objectmeta.changed(new, old) + checks.unchanged(mine, theirs, "spec.controller")
    return causes + objectmeta.of_kind(new, GROUP, "IngressClass") + ingress_class(new)


def policy_default(obj: Obj) -> None:
    """A NetworkPolicy without types restricts ingress, and egress when it has such rules."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")


def network_policy(obj: Obj) -> list[Cause]:
    """ValidateNetworkPolicy."""
    spec = obj.get("spec") or {}
    causes = checks.label_selector(spec.get("podSelector"), "spec.podSelector")
    for way, side in (("ingress", "from"), ("egress", "to")):
        for position, rule in enumerate(spec.get(way) or ()):
            field = f"spec.{way}[{position}]"
            for number, port in enumerate(rule.get("ports") or ()):
                causes += _policy_port(port, f"{field}.ports[{number}]")
            for number, peer in enumerate(rule.get(side) or ()):
                causes += _peer(peer, f"{field}.{side}[{number}]")
    kinds = spec.get("policyTypes") or []
    if len(kinds) > 2:
        text = "may not specify more than two policyTypes"
        return [*causes, bad("spec.policyTypes", kinds, text)]
    for position, kind in enumerate(kinds):
        if kind not in ("Ingress", "Egress"):
            causes.append(unsupported(f"spec.policyTypes[{position}]", kind, ["Ingress", "Egress"]))
    return causes


def _policy_port(port: Obj, path: str) -> list[Cause]:
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    causes: list[Cause] = []
    if protocol is not None and protocol not in checks.PROTOCOLS:
        causes.append(unsupported(f"{path}.protocol", protocol, ["TCP", "UDP", "SCTP"]))
    field = f"{path}.endPort"
    if number is None:
        text = "may not be specified when `port` is not specified"
        return causes + ([bad(field, end, text)] if end is not None else [])
    if isinstance(number, str):
        text = "may not be specified when `port` is non-numeric"
        causes += [bad(field, end, text)] if end is not None else []
        return causes + checks.texts(names.port_name, number, f"{path}.port")
    causes += checks.port_number(number, f"{path}.port")
    if end is not None:
        text = "must be greater than or equal to `port`"
        causes += [bad(field, number, text)] if end < number else []
        causes += checks.port_number(end, field)
    return causes


def _peer(peer: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("podSelector", "namespaceSelector"):
        causes += checks.label_selector(peer.get(field), f"{path}.{field}")
    block = peer.get("ipBlock")
    if block is not None:
        causes += _block(block, f"{path}.ipBlock")
    found = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if field in peer]
    if not found:
        causes.append(required(path, "must specify a peer"))
    elif len(found) > 1 and block is not None:
        causes.append(forbidden(path, "may not specify both ipBlock and another peer"))
    return causes


def _block(block: Obj, path: str) -> list[Cause]:
    network = block.get("cidr") or ""
    if not network:
        return [required(f"{path}.cidr")]
    causes, parsed = checks.cidr(network, f"{path}.cidr"), checks.parse_cidr(network)
    if parsed is None:
        return causes
    for position, item in enumerate(block.get("except") or ()):
        field = f"{path}.except[{position}]"
        causes += checks.cidr(item, field)
        inner = checks.parse_cidr(item)
        if inner is None:
            continue
        inside = inner[1].network_address in parsed[1]
        if not inside or parsed[1].prefixlen >= inner[1].prefixlen:
            causes.append(bad(field, item, "must be a strict subset of `cidr`"))
    return causes


def network_policy_changed(new: Obj, old: Obj) -> list[Cause]:
    """Validated twice, as kube-apiserver does."""
    causes = objectmeta.of_kind(new, GROUP, "NetworkPolicy") + network_policy(new)
    return causes + objectmeta.changed(new, old) + network_policy(new)


INGRESS = Strategy(
    validate=ingress,
    validate_update=ingress_changed,
    parts={"status": Part(validate=ingress_status)},
    blank_status={"loadBalancer": {}},
)
INGRESS_CLASS = Strategy(default=class_default, validate=ingress_class, validate_update=ingress_class_changed)
NETWORK_POLICY = Strategy(
    default=policy_default, validate=network_policy, validate_update=network_policy_changed
)
