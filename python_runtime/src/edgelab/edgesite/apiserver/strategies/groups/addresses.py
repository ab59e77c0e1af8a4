"""ServiceCIDRs and IPAddresses (`pkg/apis/networking/validation`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import layouts, names, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, immutable, required
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

GROUP = "networking.k8s.io"
AT_MOST = 2
ONE_EACH = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"


def address(obj: Obj) -> list[Cause]:
    """ValidateIPAddress; the name is the address."""
    name = obj["metadata"].get("name") or ""
    causes = checks.canonical_ip(name, "metadata.name") if name else []
    parent = (obj.get("spec") or {}).get("parentRef")
    return causes + ([required("spec.parentRef")] if parent is None else _parent(parent))


def _parent(parent: Obj) -> list[Cause]:
    causes: list[Cause] = []
    if parent.get("group"):
        causes += checks.dns_subdomain(parent["group"], "spec.parentRef.group")
    for field in ("resource", "name", "namespace"):
        value, where = parent.get(field) or "", f"spec.parentRef.{field}"
        if value:
            causes += checks.texts(names.path_segment, value, where)
        elif field != "namespace":
            causes.append(required(where))
    return causes


def address_changed(new: Obj, old: Obj) -> list[Cause]:
    """Whose address it is stays."""
    causes = objectmeta.of_kind(new, GROUP, "IPAddress") + address(new) + objectmeta.changed(new, old)
    mine, theirs = ((obj.get("spec") or {}).get("parentRef") for obj in (new, old))
    return causes + checks.unchanged(mine, theirs, "spec.parentRef", "*networking.ParentReference")


def ranges(obj: Obj) -> list[Cause]:
    """ValidateServiceCIDR."""
    spec = obj.get("spec") or {}
    found = spec.get("cidrs") or []
    if not found:
        return [required("spec.cidrs", "at least one CIDR required")]
    if len(found) > AT_MOST:
        shown = layouts.shown("networking.ServiceCIDRSpec", spec)
        return [bad("spec.cidrs", shown, f"may only hold up to {AT_MOST} values")]
    causes: list[Cause] = []
    for position, item in enumerate(found):
        causes += checks.canonical_cidr(item, f"spec.cidrs[{position}]")
    families = [parsed[1].version for item in found if (parsed := checks.parse_cidr(item)) is not None]
    if len(families) == AT_MOST and len(set(families)) == 1:
        causes.append(bad("spec.cidrs", found, ONE_EACH))
    return causes


def ranges_changed(new: Obj, old: Obj) -> list[Cause]:
    """Ranges stay; one of the other family may be added."""
    causes = objectmeta.changed(new, old)
    now, was = ((obj.get("spec") or {}).get("cidrs") or [] for obj in (new, old))
    pairs = enumerate(zip(was, now, strict=False))
    changed = [immutable(f"spec.cidrs[{i}]", after) for i, (before, after) in pairs if before != after]
    if len(was) == len(now):
        return causes + changed
    if (len(was), len(now)) == (1, AT_MOST):
        return causes + changed + ranges(new)
    return [*causes, immutable("spec.cidrs", now)]


def ranges_on_create(obj: Obj) -> None:
    """A status is kept, but written in any case."""
    obj["status"] = obj.get("status") or {}


ADDRESS = Strategy(validate=address, validate_update=address_changed, has_generation=False)
RANGES = Strategy(
    on_create=ranges_on_create,
    validate=ranges,
    validate_update=ranges_changed,
    parts={"status": Part(objectmeta.keep_described, objectmeta.changed)},
    keeps_status_on_create=True,
    has_generation=False,
)
