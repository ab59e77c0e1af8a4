"""What objects take of a quota's resources, and which of them a quota is about. No I/O.

Facts: pkg/quota/v1/evaluator/core (services, persistent_volume_claims, registry) and
apiserver `pkg/quota/v1/generic/evaluator.go`.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from edgelab.edgesite.apiserver.strategies.pod.resources import is_native, is_quota_huge
from edgelab.edgesite.quota import amounts, pods
from edgelab.edgesite.quota.amounts import Amounts

Obj = dict[str, Any]

ALIASES = ("configmaps", "replicationcontrollers", "resourcequotas", "secrets")
_PARTS = [f"{part}.{name}" for part in ("requests", "limits") for name in pods.COMPUTE]
OF_PODS = {"pods", *pods.COMPUTE, *_PARTS}
OF_SERVICES = {"services", "services.nodeports", "services.loadbalancers"}
OF_CLAIMS = ("persistentvolumeclaims", "requests.storage")
OF_CLASS = ".storageclass.storage.k8s.io/"
OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


class Counted(NamedTuple):
    """A kind as quotas know it."""

    group: str
    plural: str


PODS, SERVICES, CLAIMS = (Counted("", name) for name in ("pods", "services", "persistentvolumeclaims"))


def kind_of(name: str) -> Counted | None:
    """The kind whose objects take of a resource; None for a resource that nothing takes of."""
    if name.startswith("count/"):
        plural, _, group = name.removeprefix("count/").partition(".")
        return Counted(group, plural)
    if name in OF_CLAIMS or name.endswith(tuple(OF_CLASS + end for end in OF_CLAIMS)):
        return CLAIMS
    if name in OF_SERVICES:
        return SERVICES
    if name in ALIASES:
        return Counted("", name)
    extended = not is_native(name) and name.startswith("requests.")
    return PODS if name in OF_PODS or is_quota_huge(name) or extended else None


def usage(kind: Counted, obj: Obj, now: dt.datetime) -> Amounts:
    """What an object takes of each resource that a quota can limit."""
    group, plural = kind
    found: Amounts = {f"count/{plural}.{group}" if group else f"count/{plural}": amounts.ONE}
    if kind == PODS:
        return found | pods.usage(obj) if pods.lives(obj, now) else found
    if kind == SERVICES:
        return found | _service(obj.get("spec") or {})
    if kind == CLAIMS:
        return found | _claim(obj)
    if not group and plural in ALIASES:
        found[plural] = amounts.ONE
    return found


def _service(spec: Obj) -> Amounts:
    ports, kind = spec.get("ports") or (), spec.get("type")
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        ports = [port for port in ports if port.get("nodePort")]
    return {
        "services": amounts.ONE,
        "services.nodeports": amounts.count(len(ports) if kind in ("NodePort", "LoadBalancer") else 0),
        "services.loadbalancers": amounts.count(int(kind == "LoadBalancer")),
    }


def _claim(claim: Obj) -> Amounts:
    spec, found = claim["spec"], {"persistentvolumeclaims": amounts.ONE}
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is not None:
        found["requests.storage"] = amounts.whole(size)
        allocated = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
        if allocated is not None:
            amounts.most(found, {"requests.storage": amounts.whole(allocated)})
    annotations = claim["metadata"].get("annotations") or {}
    storage_class = annotations.get(OLD_CLASS, spec.get("storageClassName"))
    if storage_class:
        found |= {f"{storage_class}{OF_CLASS}{name}": amount for name, amount in found.items()}
    return found


def covers(spec: Obj, kind: Counted, obj: Obj) -> bool:
    """Whether a quota's scopes take an object in."""
    scopes = [{"scopeName": name, "operator": "Exists"} for name in spec.get("scopes") or ()]
    scopes += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if kind == PODS:
        return all(pods.in_scope(scope, obj) for scope in scopes)
    if kind == CLAIMS:
        return all(_claim_in_scope(scope, obj) for scope in scopes)
    return not scopes


def _claim_in_scope(scope: Obj, claim: Obj) -> bool:
    spec, status = claim["spec"], claim.get("status") or {}
    wanted = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    names = (spec.get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName"), wanted)
    return scope.get("scopeName") == "VolumeAttributesClass" and pods.chosen(scope, [n for n in names if n])
