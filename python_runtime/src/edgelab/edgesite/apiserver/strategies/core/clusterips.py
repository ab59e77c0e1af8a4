"""The addresses of a Service and their families."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks

Obj = dict[str, Any]

FAMILIES = ["IPv4", "IPv6"]
FAMILY_POLICIES = ["PreferDualStack", "RequireDualStack", "SingleStack"]
ONCE_SET = "may not change once set"


def spec_of(obj: Obj | None) -> Obj:
    """The spec, or nothing."""
    return (obj or {}).get("spec") or {}


def is_headless(spec: Obj) -> bool:
    """`clusterIP: None`."""
    return spec.get("clusterIPs") == ["None"]


def related(obj: Obj, old: Obj | None) -> list[Cause]:
    """ValidateServiceClusterIPsRelatedFields."""
    spec = spec_of(obj)
    if spec.get("type") == "ExternalName":
        return []
    address, addresses, field = spec.get("clusterIP") or "", spec.get("clusterIPs") or [], "spec.clusterIPs"
    causes: list[Cause] = []
    if address and not addresses:
        causes.append(required(field))
    elif address and addresses[0] != address:
        causes.append(bad(field, addresses, "first value must match `clusterIP`"))
    elif addresses and not address:
        causes.append(bad(field, addresses, "must be empty when `clusterIP` is not specified"))
    causes += _families(spec)
    problems = _addresses(addresses, spec_of(old).get("clusterIPs") or [])
    causes += problems
    if len(addresses) > 2:
        causes.append(bad(field, addresses, "may only hold up to 2 values"))
    return causes if problems else causes + _agree(spec, addresses)


def _families(spec: Obj) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, family in enumerate(spec.get("ipFamilies") or ()):
        field = f"spec.ipFamilies[{position}]"
        if family not in FAMILIES:
            causes.append(unsupported(field, family, FAMILIES))
        if family in seen:
            causes.append(duplicate(field, family))
        seen.add(family)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in FAMILY_POLICIES:
        causes.append(unsupported("spec.ipFamilyPolicy", policy, FAMILY_POLICIES))
    return causes


def _addresses(addresses: list[str], known: list[str]) -> list[Cause]:
    causes: list[Cause] = []
    for position, address in enumerate(addresses):
        if position == 0 and address == "None":
            if len(addresses) > 1:
                text = "'None' must be the first and only value"
                causes.append(bad("spec.clusterIPs", addresses, text))
            continue
        causes += [] if address in known else checks.ip(address, f"spec.clusterIPs[{position}]")
    return causes


def _agree(spec: Obj, addresses: list[str]) -> list[Cause]:
    parsed = [checks.parse_ip(address) for address in addresses]
    versions = [found.version for found in parsed if found is not None]
    causes: list[Cause] = []
    if len(addresses) > 1 and len(set(versions)) < 2:
        text = "may specify no more than one IP for each IP family"
        causes.append(bad("spec.clusterIPs", addresses, text))
    if is_headless(spec):
        return causes
    for position, (version, family) in enumerate(zip(versions, spec.get("ipFamilies") or (), strict=False)):
        if family in FAMILIES and family != f"IPv{version}":
            text = f"expected an {family} value as indicated by `ipFamilies[{position}]`"
            causes.append(bad(f"spec.clusterIPs[{position}]", addresses[position], text))
    return causes


def changed(new: Obj, old: Obj) -> list[Cause]:
    """validateUpgradeDowngradeClusterIPs and its twin for families."""
    mine, theirs = spec_of(new), spec_of(old)
    if "ExternalName" in (mine.get("type"), theirs.get("type")):
        return []
    headless = is_headless(mine), is_headless(theirs)
    causes = [] if all(headless) else _address_changes(mine, theirs)
    return causes if any(headless) else causes + _family_changes(mine, theirs)


def _address_changes(mine: Obj, theirs: Obj) -> list[Cause]:
    now, was = mine.get("clusterIPs") or [], theirs.get("clusterIPs") or []
    field = "spec.clusterIPs"
    if len(was) == len(now):
        pairs = enumerate(zip(was, now, strict=True))
        return [bad(f"{field}[{i}]", now, ONCE_SET) for i, (before, after) in pairs if before != after]
    shown = mine.get("clusterIPs")
    causes: list[Cause] = []
    if len(was) > len(now) and not now:
        causes.append(bad(f"{field}[0]", shown, "primary clusterIP can not be unset"))
    if was and now and was[0] != now[0]:
        causes.append(bad(f"{field}[0]", now, ONCE_SET))
    if len(was) > len(now) == 1 and mine.get("ipFamilyPolicy") != "SingleStack":
        text = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        causes.append(bad("spec.ipFamilyPolicy", mine.get("ipFamilyPolicy"), text))
    return causes


def _family_changes(mine: Obj, theirs: Obj) -> list[Cause]:
    now, was = mine.get("ipFamilies") or [], theirs.get("ipFamilies") or []
    field = "spec.ipFamilies[0]"
    if len(was) == len(now):
        return [bad(field, now, ONCE_SET) for before, after in zip(was, now, strict=True) if before != after]
    causes: list[Cause] = []
    if len(was) > len(now) and not mine.get("clusterIPs"):
        causes.append(bad(field, mine.get("ipFamilies"), "primary ipFamily can not be unset"))
    if was and now and was[0] != now[0]:
        causes.append(bad(field, mine.get("clusterIPs"), ONCE_SET))
    if len(was) > len(now) == 1 and mine.get("ipFamilyPolicy") != "SingleStack":
        text = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        causes.append(bad("spec.ipFamilyPolicy", mine.get("ipFamilyPolicy"), text))
    return causes
