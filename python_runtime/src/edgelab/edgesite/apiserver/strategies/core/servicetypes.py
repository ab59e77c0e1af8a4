"""Services before they are checked: their defaults, and what goes when the type changes."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.strategies.core.clusterips import spec_of

Obj = dict[str, Any]


def accessible(spec: Obj) -> bool:
    """Whether a Service can be reached from outside."""
    external = spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs"))
    return spec.get("type") in ("NodePort", "LoadBalancer") or external


def needs_health_check(spec: Obj) -> bool:
    """Whether a load balancer has to find out which nodes have endpoints."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def default(obj: Obj) -> None:
    """Defaults of a Service."""
    spec = obj.setdefault("spec", {})
    for field, value in (("sessionAffinity", "None"), ("type", "ClusterIP")):
        spec[field] = spec.get(field) or value
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    sticky = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    if spec["sessionAffinity"] == "ClientIP" and sticky.get("timeoutSeconds") is None:
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800}}
    for port in spec.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port", 0)
    if accessible(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec["type"] in ("NodePort", "LoadBalancer", "ClusterIP"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for item in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if item.get("ip"):
                item.setdefault("ipMode", "VIP")


def on_create(obj: Obj) -> None:
    """No load balancer yet."""
    obj["status"] = {"loadBalancer": {}}


def on_update(new: Obj, old: Obj) -> None:
    """What belonged to the old type goes with it, unless the client changed it too."""
    mine, theirs = spec_of(new), spec_of(old)
    if theirs.get("type") != "ExternalName" and mine.get("type") == "ExternalName":
        if all(mine.get(f) == theirs.get(f) for f in ("clusterIP", "clusterIPs")):
            mine.pop("clusterIP", None)
            mine.pop("clusterIPs", None)
        for field in ("ipFamilies", "ipFamilyPolicy"):
            _drop_same(mine, theirs, field)
    ports = ("NodePort", "LoadBalancer")
    if theirs.get("type") in ports and mine.get("type") not in ports:
        before, after = ({p.get("nodePort") or 0 for p in s.get("ports") or ()} for s in (theirs, mine))
        if after <= before | {0}:
            for port in mine.get("ports") or ():
                port.pop("nodePort", None)
    if needs_health_check(theirs) and not needs_health_check(mine):
        _drop_same(mine, theirs, "healthCheckNodePort")
    if theirs.get("type") == "LoadBalancer" != mine.get("type"):
        _drop_same(mine, theirs, "allocateLoadBalancerNodePorts")
        _drop_same(mine, theirs, "loadBalancerClass")
    if mine.get("type") == "ExternalName" != theirs.get("type"):
        _drop_same(mine, theirs, "internalTrafficPolicy")
    if accessible(theirs) and not accessible(mine):
        _drop_same(mine, theirs, "externalTrafficPolicy")
    if mine.get("type") != "LoadBalancer":
        new["status"] = {**(new.get("status") or {}), "loadBalancer": {}}


def _drop_same(mine: Obj, theirs: Obj, field: str) -> None:
    if mine.get(field) == theirs.get(field):
        mine.pop(field, None)
