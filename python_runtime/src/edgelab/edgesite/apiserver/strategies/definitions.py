"""CustomResourceDefinitions: defaults and what is valid (`apiextensions-apiserver/pkg/apis`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, immutable, required
from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]


def default(obj: Obj) -> None:
    """Names, conversion and the status that is always written."""
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    if spec.get("preserveUnknownFields") is False:
        del spec["preserveUnknownFields"]


def on_create(obj: Obj) -> None:
    """Nothing is accepted yet."""
    names = {"plural": "", "kind": ""}
    stored = [v["name"] for v in obj["spec"].get("versions") or () if v.get("storage")]
    obj["status"] = {"conditions": [], "acceptedNames": names, "storedVersions": stored}


def validate(obj: Obj) -> list[Cause]:
    """What is wrong with a definition."""
    spec = obj["spec"]
    names, group, versions = spec.get("names") or {}, spec.get("group") or "", spec.get("versions") or []
    causes = [required(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    causes += [required(f"spec.{field}") for field in ("group", "versions", "scope") if not spec.get(field)]
    wanted = f"{names.get('plural')}.{group}"
    if not causes and obj["metadata"].get("name") != wanted:
        text = 'must be spec.names.plural+"."+spec.group'
        causes.append(bad("metadata.name", obj["metadata"].get("name"), text))
    if versions and sum(bool(version.get("storage")) for version in versions) != 1:
        causes.append(
            bad("spec.versions", len(versions), "must have exactly one version marked as storage version")
        )
    for position, version in enumerate(versions):
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            causes.append(
                required(f"spec.versions[{position}].schema.openAPIV3Schema", "schemas are required")
            )
    return causes


def validate_update(new: Obj, old: Obj) -> list[Cause]:
    """Group, names and scope stay."""
    mine, theirs = new["spec"], old["spec"]
    causes = [
        immutable(f"spec.{field}", mine.get(field))
        for field in ("group", "scope")
        if mine.get(field) != theirs.get(field)
    ]
    if mine["names"]["plural"] != theirs["names"]["plural"]:
        causes.append(immutable("spec.names.plural", mine["names"]["plural"]))
    return causes


DEFINITION = Strategy(
    default=default,
    on_create=on_create,
    validate=validate,
    validate_update=validate_update,
    keeps_status_on_create=True,
)
