"""What is valid in a CustomResourceDefinition (`apiextensions-apiserver/pkg/apis/.../validation.go`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver import names as naming
from edgelab.edgesite.apiserver.custom import fieldpath, formats, internal, schemas, webhooks
from edgelab.edgesite.apiserver.custom.errors import (
    Cause,
    child,
    duplicate,
    invalid,
    not_supported,
    required,
    too_many,
)

Obj = dict[str, Any]
Rules = Callable[[Obj, str], list[Cause]]

COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
MAX_SELECTABLE = 8


def name(obj: Obj) -> list[Cause]:
    """The name is made of the plural and the group."""
    found, spec = obj["metadata"].get("name") or "", obj["spec"]
    if not found or found == f"{spec['names'].get('plural') or ''}.{spec.get('group') or ''}":
        return []
    return [invalid("metadata.name", found, 'must be spec.names.plural+"."+spec.group')]


def spec(found: Obj, old: Obj | None) -> list[Cause]:
    """The spec; `old` is the definition before an update."""
    causes = _group(found.get("group") or "")
    scope = found.get("scope") or ""
    if not scope:
        causes.append(required("spec.scope"))
    elif scope not in ("Cluster", "Namespaced"):
        causes.append(not_supported("spec.scope", scope, ("Cluster", "Namespaced")))
    versions = found.get("versions") or []
    if old is None or all(_schema(version) is not None for version in old["spec"]["versions"]):
        causes += [
            required(f"spec.versions[{position}].schema.openAPIV3Schema")
            for position, version in enumerate(versions)
            if _schema(version) is None
        ]
    if found.get("preserveUnknownFields") and _has_defaults(found):
        text = "must be false in order to use defaults in the schema"
        causes.append(invalid("spec.preserveUnknownFields", True, text))
    split = internal.Spec(found)
    causes += _versions(split)
    for field in ("plural", "singular", "kind", "listKind"):
        if not found["names"].get(field):
            causes.append(required(f"spec.names.{field}"))
    causes += names(found["names"], "spec.names") + _shared(split)
    conversion = found.get("conversion") or {}
    if conversion.get("strategy") != "None" and found.get("preserveUnknownFields"):
        text = "must be None if spec.preserveUnknownFields is true"
        causes.append(invalid("spec.conversion.strategy", conversion.get("strategy"), text))
    return causes + webhooks.validate(conversion, old)


def _group(group: str) -> list[Cause]:
    if not group:
        return [required("spec.group")]
    if problems := naming.subdomain(group):
        return [invalid("spec.group", group, ",".join(problems))]
    if "." not in group:
        return [invalid("spec.group", group, "should be a domain with at least one dot")]
    return []


def _schema(version: Obj) -> Obj | None:
    found: Obj | None = (version.get("schema") or {}).get("openAPIV3Schema")
    return found


def _has_defaults(found: Obj) -> bool:
    return any(schema.get("default") is not None for schema in internal.all_schemas(found))


def _versions(split: internal.Spec) -> list[Cause]:
    causes: list[Cause] = []
    listed = [version.get("name") or "" for version in split.versions]
    for position, version in enumerate(split.versions):
        path = f"spec.versions[{position}]"
        if problems := naming.service_label(listed[position]):
            causes.append(invalid(f"{path}.name", listed[position], ",".join(problems)))
        for text in _deprecation(version):
            warning = version.get("deprecationWarning")
            causes.append(invalid(f"{path}.deprecationWarning", warning, text))
        subresources = version.get("subresources") or split.shared.get("subresources") or {}
        causes += _version(version, path, "schema", status="status" in subresources)
    if len(set(listed)) != len(listed):
        text = "must contain unique version names"
        causes.append(invalid("spec.versions", split.shown_versions(), text))
    if sum(bool(version.get("storage")) for version in split.versions) != 1:
        text = "must have exactly one version marked as storage version"
        causes.append(invalid("spec.versions", split.shown_versions(), text))
    if split.versions and (problems := naming.service_label(listed[0])):
        causes.append(invalid("spec.version", listed[0], ",".join(problems)))
    return causes


def _shared(split: internal.Spec) -> list[Cause]:
    shared = split.shared
    subresources = [shared.get("subresources"), *(version.get("subresources") for version in split.versions)]
    status = any("status" in (found or {}) for found in subresources)
    return _version({**shared, "schema": shared.get("validation")}, "spec", "validation", status=status)


def _version(version: Obj, path: str, schema_field: str, *, status: bool) -> list[Cause]:
    """What versions have, or what all of them share."""
    causes: list[Cause] = []
    schema = _schema(version)
    if schema is not None:
        causes += schemas.validate(schema, child(path, schema_field), status=status, rules=_rules)
    causes += _subresources(version.get("subresources") or {}, child(path, "subresources"))
    for position, column in enumerate(version.get("additionalPrinterColumns") or ()):
        causes += _column(column, f"{path}.additionalPrinterColumns[{position}]")
    if version.get("selectableFields") and schema is not None:
        causes += _selectable(version["selectableFields"], schema, child(path, "selectableFields"))
    return causes


def _rules(schema: Obj, path: str) -> list[Cause]:
    """The rules of a schema; what reads them is only loaded when there are some."""
    if not any(inner.get("x-kubernetes-validations") for inner in internal.inner_schemas(schema)):
        return []
    from edgelab.edgesite.apiserver.custom import rulechecks  # noqa: PLC0415

    return rulechecks.check_schema(schema, path)


def _deprecation(version: Obj) -> list[str]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return []
    if not version.get("deprecated"):
        return ["can only be set for deprecated versions"]
    problems = ["must be <= 256 characters long"] if len(warning.encode()) > 256 else []
    if not warning:
        problems.append("must not be an empty string")
    offset = 0
    for character in warning:
        if not character.isprintable():
            text = "must only contain printable UTF-8 characters; non-printable character found at index"
            problems.append(f"{text} {offset}")
            break
        offset += len(character.encode())
    return problems


def names(found: Obj, path: str) -> list[Cause]:
    """The form of names; what must be there is another question."""
    causes: list[Cause] = []
    for field in ("plural", "singular", "kind", "listKind"):
        value, mixed = found.get(field) or "", field.lower().endswith("kind")
        if value and (problems := naming.service_label(value.lower() if mixed else value)):
            text = "may have mixed case, but should otherwise match: " if mixed else ""
            causes.append(invalid(child(path, field), value, text + ",".join(problems)))
    causes += _labels(found.get("shortNames") or [], child(path, "shortNames"))
    if found.get("kind") and found["kind"] == found.get("listKind"):
        text = "kind and listKind may not be the same"
        causes.append(invalid(child(path, "listKind"), found["listKind"], text))
    return causes + _labels(found.get("categories") or [], child(path, "categories"))


def _labels(values: list[str], path: str) -> list[Cause]:
    return [
        invalid(f"{path}[{position}]", value, ",".join(problems))
        for position, value in enumerate(values)
        if (problems := naming.service_label(value))
    ]


def _column(column: Obj, path: str) -> list[Cause]:
    causes = [] if column.get("name") else [required(child(path, "name"))]
    kind, form, where = column.get("type") or "", column.get("format") or "", column.get("jsonPath") or ""
    text = f"must be one of {','.join(COLUMN_TYPES)}"
    if not kind:
        causes.append(required(child(path, "type"), text))
    elif kind not in COLUMN_TYPES:
        causes.append(invalid(child(path, "type"), kind, text))
    if form and form not in COLUMN_FORMATS:
        text = f"must be one of {','.join(COLUMN_FORMATS)}"
        causes.append(invalid(child(path, "format"), form, text))
    if not where:
        causes.append(required(child(path, "JSONPath")))
    return causes + _simple_path(where, child(path, "JSONPath"))


def _simple_path(text: str, path: str) -> list[Cause]:
    if not text or text[0] == ".":
        return []
    return [invalid(path, text, "must be a simple json path starting with .")]


def _subresources(found: Obj, path: str) -> list[Cause]:
    scale = found.get("scale")
    if scale is None:
        return []
    causes: list[Cause] = []
    for field, roots, where in (
        ("specReplicasPath", (".spec.",), "under .spec"),
        ("statusReplicasPath", (".status.",), "under .status"),
        ("labelSelectorPath", (".spec.", ".status."), "under either .spec or .status"),
    ):
        value, full = scale.get(field) or "", f"{path}.scale.{field}"
        if not value:
            if field != "labelSelectorPath":
                causes.append(required(full))
        elif problems := _simple_path(value, full):
            causes += problems
        elif not value.startswith(roots):
            causes.append(invalid(full, value, f"should be a json path {where}"))
    return causes


def _selectable(fields: list[Obj], schema: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, field in enumerate(fields):
        where, text = f"{path}[{position}].jsonPath", field.get("jsonPath") or ""
        if not text:
            causes.append(required(where))
            continue
        found = fieldpath.read(text, schema, subscripts=False)
        if found.error:
            causes.append(invalid(where, text, f"is an invalid path: {found.error}"))
            continue
        if found.root == "metadata":
            causes.append(invalid(where, text, "must not point to fields in metadata"))
        if found.schema.get("type") not in ("string", "boolean", "integer"):
            detail = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings"
                " with formats are allowed."
            )
            causes.append(invalid(where, text, detail))
        if found.path in seen:
            causes.append(duplicate(where, text))
        seen.add(found.path)
    if len(seen) > MAX_SELECTABLE:
        causes.append(too_many(path, len(seen), MAX_SELECTABLE))
    return causes


def unknown_formats(found: Obj) -> list[str]:
    """Formats that nothing checks, in the order of their appearance."""
    result = []
    for schema in internal.all_schemas({"versions": _distinct(found)}):
        form = schema.get("format") or ""
        if form and schema.get("type") == "string" and not formats.known(form):
            result.append(form)
    return result


def _distinct(found: Obj) -> list[Obj]:
    """Versions; one for all if they share their schema."""
    split = internal.Spec(found)
    shared = split.shared.get("validation")
    return split.versions + ([{"schema": shared}] if shared else [])
