"""CustomResourceDefinitions: defaults and what is valid (`apiextensions-apiserver/pkg/apis`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.custom import approval, checks
from edgelab.edgesite.apiserver.custom.errors import Cause, invalid
from edgelab.edgesite.apiserver.strategy import Strategy
from edgelab.objects import metadata as meta

Obj = dict[str, Any]

KEPT_EMPTY = (
    "additionalItems",
    "additionalProperties",
    "default",
    "example",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "optionalOldSelf",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
)
"""Fields of schemas that are pointers: they are kept when they are empty."""
BY_NAME = ("properties", "patternProperties", "definitions", "dependencies")


def default(obj: Obj) -> None:
    """Names, conversion and the status that is always written."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("group", "")
    spec.setdefault("scope", "")
    names = spec.setdefault("names", {})
    names.setdefault("plural", "")
    names.setdefault("kind", "")
    if names["kind"]:
        names["singular"] = names.get("singular") or names["kind"].lower()
        names["listKind"] = names.get("listKind") or f"{names['kind']}List"
    for name in ("shortNames", "categories"):
        if not names.get(name):
            names.pop(name, None)
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)
    if spec.get("preserveUnknownFields") is False:
        del spec["preserveUnknownFields"]
    spec.setdefault("versions", None)
    for version in spec["versions"] or ():
        _default_version(version)
    if "status" in obj and not obj["status"].get("storedVersions"):
        obj["status"]["storedVersions"] = _stored(spec)


def _stored(spec: Obj) -> list[str]:
    return [version.get("name") or "" for version in spec["versions"] or () if version["storage"]][:1]


def _default_version(version: Obj) -> None:
    for name in ("served", "storage"):
        version.setdefault(name, False)
    if not version.get("deprecated"):
        version.pop("deprecated", None)
    for name in ("additionalPrinterColumns", "selectableFields"):
        if not version.get(name):
            version.pop(name, None)
    for column in version.get("additionalPrinterColumns") or ():
        for name in ("priority", "format", "description"):
            if not column.get(name):
                column.pop(name, None)
    schema = version.get("schema")
    if schema is not None and isinstance(schema.get("openAPIV3Schema"), dict):
        schema["openAPIV3Schema"] = compact(schema["openAPIV3Schema"])


def compact(schema: Any) -> Any:
    """A schema without the fields that say nothing."""
    if not isinstance(schema, dict):
        return schema
    result: Obj = {}
    for name, value in schema.items():
        found = value
        if name in BY_NAME and isinstance(value, dict):
            found = {key: compact(inner) for key, inner in value.items()}
        elif name in ("allOf", "anyOf", "oneOf") or (name == "items" and isinstance(value, list)):
            found = [compact(inner) for inner in value or ()]
        elif name in ("items", "not", "additionalProperties", "additionalItems"):
            found = compact(value)
            if isinstance(value, dict):
                result[name] = found
                continue
        if value is not None and (name in KEPT_EMPTY or found not in ("", False, [], {})):
            result[name] = found
    return result


def on_create(obj: Obj) -> None:
    """Nothing is accepted yet."""
    names = {"plural": "", "kind": ""}
    stored = _stored(obj["spec"]) or None
    obj["status"] = {"conditions": None, "acceptedNames": names, "storedVersions": stored}


def on_update(new: Obj, old: Obj) -> None:
    """A new storage version is one that objects may be stored in."""
    status = dict(old.get("status") or {})
    stored = list(status.get("storedVersions") or ())
    for version in new["spec"].get("versions") or ():
        if version.get("storage"):
            if version["name"] not in stored:
                stored.append(version["name"])
            break
    new["status"] = {**status, "storedVersions": stored}


def validate(obj: Obj) -> list[Cause]:
    """What is wrong with a new definition."""
    return [*checks.name(obj), *_whole(obj, None), *approval.approval(obj, None)]


def _whole(obj: Obj, old: Obj | None) -> list[Cause]:
    spec, status = obj["spec"], obj.get("status") or {}
    causes = checks.spec(spec, old)
    if old is not None:
        causes += _immutable(spec, old)
    causes += checks.names(status.get("acceptedNames") or {}, "status.acceptedNames")
    return causes + approval.stored(status.get("storedVersions") or [], spec.get("versions") or [])


def _immutable(spec: Obj, old: Obj) -> list[Cause]:
    theirs, text = old["spec"], "field is immutable"
    fields = [("group",), ("names", "plural")]
    if (found := meta.condition(old, "Established")) is not None and found["status"] == "True":
        fields = [("scope",), ("names", "kind"), *fields]
    causes = []
    for path in fields:
        mine, was = spec, theirs
        for part in path[:-1]:
            mine, was = mine[part], was[part]
        if mine.get(path[-1]) != was.get(path[-1]):
            causes.append(invalid(".".join(("spec", *path)), mine.get(path[-1]), text))
    return causes


def validate_update(new: Obj, old: Obj) -> list[Cause]:
    """What is wrong with a changed definition."""
    causes = _whole(new, old) + approval.approval(new, old)
    if (old["spec"].get("preserveUnknownFields")) is not True:
        causes += approval.preserving(new["spec"])
    return causes


def validate_new(obj: Obj) -> list[Cause]:
    """Everything that is checked when a definition is created."""
    return validate(obj) + approval.preserving(obj["spec"])


def warnings(obj: Obj, old: Obj | None) -> list[str]:
    """What the answer warns of."""
    known = checks.unknown_formats(old["spec"]) if old is not None else []
    found = checks.unknown_formats(obj["spec"])
    return [f'unrecognized format "{name}"' for name in found if name not in known]


DEFINITION = Strategy(
    default=default,
    on_create=on_create,
    on_update=on_update,
    validate=validate_new,
    validate_update=validate_update,
    keeps_status_on_create=True,
    unconditional=False,
    warnings=warnings,
)
