"""DeviceClasses, ResourceClaims, their templates (`pkg/apis/resource/validation`); nothing is allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from edgelab.edgesite.apiserver import objectmeta
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    bad,
    duplicate,
    forbidden,
    required,
    too_many,
    unsupported,
)
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.groups.deviceparts import (
    each,
    full_name,
    opaque,
    selectors,
    toleration,
)
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]
Known = dict[str, set[str]]

GROUP = "resource.k8s.io"
MODES = ["All", "ExactCount"]
MOST, MOST_ALTERNATIVES, MOST_USERS = 32, 8, 256
ONE_OF = "exactly one of `exactly` or `firstAvailable` is required"
NOT_A_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)


def _default_request(request: Obj) -> None:
    request.pop("capacity", None)  # shared capacity is off in Kubernetes 1.35
    for found in request.get("tolerations") or ():
        found["operator"] = found.get("operator") or "Equal"
    request["allocationMode"] = request.get("allocationMode") or "ExactCount"
    if request["allocationMode"] == "ExactCount" and not request.get("count"):
        request["count"] = 1


def _defaults(spec: Obj) -> None:
    devices = spec.setdefault("devices", {})
    devices.setdefault("requests", None)
    for request in devices["requests"] or ():
        for found in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if found is not None:
                _default_request(found)


def claim_default(obj: Obj) -> None:
    """One device, if nothing else is said."""
    _defaults(obj.setdefault("spec", {}))


def template_default(obj: Obj) -> None:
    """The same for the claims of a template."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("metadata", {})
    _defaults(spec.setdefault("spec", {}))


def class_default(obj: Obj) -> None:
    """Extended resources are not yet mapped to classes."""
    obj.setdefault("spec", {}).pop("extendedResourceName", None)


def device_class(obj: Obj) -> list[Cause]:
    """ValidateDeviceClass."""
    spec = obj["spec"]
    causes = selectors(spec.get("selectors"), "spec.selectors")
    return causes + each(spec.get("config"), "spec.config", opaque, MOST)


def class_changed(new: Obj, old: Obj) -> list[Cause]:
    """As for a new one."""
    causes = objectmeta.of_kind(new, GROUP, "DeviceClass") + device_class(new)
    return causes + objectmeta.changed(new, old) + device_class(new)


def claim(obj: Obj) -> list[Cause]:
    """ValidateResourceClaim."""
    return _devices(obj["spec"].get("devices") or {}, "spec.devices")


def template(obj: Obj) -> list[Cause]:
    """ValidateResourceClaimTemplate."""
    metadata = obj["spec"].get("metadata") or {}
    causes = checks.annotation_map(metadata.get("annotations"), "spec.metadata.annotations")
    causes += checks.labels(metadata.get("labels"), "spec.metadata.labels")
    return causes + _devices(obj["spec"]["spec"].get("devices") or {}, "spec.spec.devices")


def _devices(found: Obj, path: str) -> list[Cause]:
    requests = found.get("requests") or []
    known: Known = {
        item.get("name") or "": {sub.get("name") or "" for sub in item.get("firstAvailable") or ()}
        for item in requests
    }
    causes = each(requests, f"{path}.requests", _request, MOST)
    causes += _once((item.get("name") or "" for item in requests), f"{path}.requests", ".name")
    causes += each(
        found.get("constraints"), f"{path}.constraints", lambda i, p: _constraint(i, p, known), MOST
    )
    return causes + each(found.get("config"), f"{path}.config", lambda i, p: _config(i, p, known), MOST)


def _once(values: Iterable[str], path: str, field: str = "") -> list[Cause]:
    seen: set[str] = set()
    causes: list[Cause] = []
    for position, value in enumerate(values):
        causes += [duplicate(f"{path}[{position}]{field}", value)] if value in seen else []
        seen.add(value)
    return causes


def _request(request: Obj, path: str) -> list[Cause]:
    causes = checks.dns_label(request.get("name") or "", f"{path}.name")
    alternatives, exactly = request.get("firstAvailable") or [], request.get("exactly")
    if alternatives:
        where = f"{path}.firstAvailable"
        causes += each(alternatives, where, _alternative, MOST_ALTERNATIVES)
        causes += _once((item.get("name") or "" for item in alternatives), where, ".name")
    if exactly is not None:
        causes += _wanted(exactly, f"{path}.exactly")
    if not alternatives and exactly is None:
        return [*causes, required(path, ONE_OF)]
    both = alternatives and exactly is not None
    return causes + ([bad(path, None, f"{ONE_OF}, but multiple fields are set")] if both else [])


def _alternative(request: Obj, path: str) -> list[Cause]:
    return checks.dns_label(request.get("name") or "", f"{path}.name") + _wanted(request, path)


def _wanted(request: Obj, path: str) -> list[Cause]:
    name, field = request.get("deviceClassName") or "", f"{path}.deviceClassName"
    causes = checks.dns_subdomain(name, field) if name else [required(field)]
    causes += selectors(request.get("selectors"), f"{path}.selectors")
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode == "All" and count:
        text = "must not be specified when allocationMode is 'All'"
        causes.append(bad(f"{path}.count", count, text))
    elif mode == "ExactCount" and count <= 0:
        causes.append(bad(f"{path}.count", count, "must be greater than zero"))
    elif mode not in MODES:
        causes.append(unsupported(f"{path}.allocationMode", mode, MODES))
    return causes + each(request.get("tolerations"), f"{path}.tolerations", toleration)


def _reference(known: Known) -> Callable[[str, str], list[Cause]]:
    def check(name: str, path: str) -> list[Cause]:
        parts = name.split("/")
        if len(parts) > 2:
            return [bad(path, name, NOT_A_REQUEST)]
        causes = [cause for part in parts for cause in checks.dns_label(part, path)]
        found = parts[0] in known and (len(parts) == 1 or parts[1] in known[parts[0]])
        return causes + ([] if found else [bad(path, name, NOT_A_REQUEST)])

    return check


def _references(found: list[str] | None, path: str, known: Known) -> list[Cause]:
    return each(found, path, _reference(known), MOST) + _once(found or (), path)


def _constraint(found: Obj, path: str, known: Known) -> list[Cause]:
    causes = _references(found.get("requests"), f"{path}.requests", known)
    for field in ("matchAttribute", "distinctAttribute"):
        if found.get(field) is not None:
            return causes + full_name(found[field], f"{path}.{field}")
    return [*causes, required(f"{path}.matchAttribute")]


def _config(found: Obj, path: str, known: Known) -> list[Cause]:
    return _references(found.get("requests"), f"{path}.requests", known) + opaque(found, path)


def claim_changed(new: Obj, old: Obj) -> list[Cause]:
    """The spec of a claim stays."""
    causes = objectmeta.of_kind(new, GROUP, "ResourceClaim") + claim(new) + objectmeta.changed(new, old)
    return causes + checks.unchanged(new["spec"], old["spec"], "spec", "resource.ResourceClaimSpec")


def template_changed(new: Obj, old: Obj) -> list[Cause]:
    """The spec of a template stays."""
    causes = objectmeta.of_kind(new, GROUP, "ResourceClaimTemplate") + template(new)
    causes += objectmeta.changed(new, old)
    return causes + checks.unchanged(new["spec"], old["spec"], "spec", "resource.ResourceClaimTemplateSpec")


def claim_status(new: Obj, old: Obj) -> list[Cause]:
    """Who uses what has been allocated."""
    status, causes = new.get("status") or {}, objectmeta.changed(new, old)
    users, path = status.get("reservedFor") or [], "status.reservedFor"
    for position, user in enumerate(users):
        needed = ("resource", "name", "uid")
        causes += [required(f"{path}[{position}].{field}") for field in needed if not user.get(field)]
    if len(users) > MOST_USERS:
        causes.append(too_many(path, len(users), MOST_USERS))
    causes += _once((user.get("uid") or "" for user in users), path, ".uid")
    if users and status.get("allocation") is None:
        causes.append(forbidden(path, "may not be specified when `allocated` is not set"))
    return causes


DEVICE_CLASS = Strategy(
    default=class_default, validate=device_class, validate_update=class_changed, returns_deleted=True
)
CLAIM = Strategy(
    default=claim_default,
    validate=claim,
    validate_update=claim_changed,
    parts={"status": Part(validate=claim_status)},
    has_generation=False,
    returns_deleted=True,
)
TEMPLATE = Strategy(
    default=template_default,
    validate=template,
    validate_update=template_changed,
    has_generation=False,
    returns_deleted=True,
)
