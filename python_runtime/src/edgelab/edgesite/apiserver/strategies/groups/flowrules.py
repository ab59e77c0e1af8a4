"""The rules of a FlowSchema: which requests of whom (`ValidateFlowSchemaPolicyRulesWithSubjects`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks

Obj = dict[str, Any]

KINDS = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"]
NAMESPACES = "each member of this list must be '*' or a DNS-1123 label; "


def rule(found: Obj, path: str) -> list[Cause]:
    """One rule."""
    causes: list[Cause] = []
    for position, item in enumerate(found.get("subjects") or ()):
        causes += _subject(item, f"{path}.subjects[{position}]")
    if not found.get("subjects"):
        causes.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    resources, paths = found.get("resourceRules") or [], found.get("nonResourceRules") or []
    if not resources and not paths:
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        causes.append(required(path, text))
    for position, item in enumerate(resources):
        causes += _resources(item, f"{path}.resourceRules[{position}]")
    for position, item in enumerate(paths):
        causes += _paths(item, f"{path}.nonResourceRules[{position}]")
    return causes


def _subject(subject: Obj, path: str) -> list[Cause]:
    kind = subject.get("kind") or ""
    if kind not in KINDS:
        return [unsupported(f"{path}.kind", kind, list(KINDS))]
    field = KINDS[kind]
    causes = _named(subject.get(field), field, kind, f"{path}.{field}")
    for other in ("ServiceAccount", "User", "Group"):
        name = KINDS[other]
        if other != kind and subject.get(name) is not None:
            text = f"{name} is forbidden when subject kind is not '{other}'"
            causes.append(forbidden(f"{path}.{name}", text))
    return causes


def _named(found: Obj | None, field: str, kind: str, path: str) -> list[Cause]:
    if found is None:
        return [required(path, f"{field} is required when subject kind is '{kind}'")]
    name = found.get("name") or ""
    causes = [] if name else [required(f"{path}.name")]
    if kind != "ServiceAccount":
        return causes
    if name and name != "*":
        causes += checks.dns_subdomain(name, f"{path}.name")
    namespace = found.get("namespace") or ""
    if namespace:
        return causes + checks.dns_label(namespace, f"{path}.namespace")
    text = "must specify namespace for service account"
    return [*causes, required(f"{path}.namespace", text)]


def _verbs(verbs: list[str], path: str) -> list[Cause]:
    if not verbs:
        return [required(path, "verbs must contain at least one value")]
    if "*" in verbs:
        text = "if '*' is present, must not specify other verbs"
        return [bad(path, verbs, text)] if len(verbs) > 1 else []
    return [] if set(verbs) <= set(VERBS) else [unsupported(path, verbs, VERBS)]


def _resources(found: Obj, path: str) -> list[Cause]:
    causes = _verbs(found.get("verbs") or [], f"{path}.verbs")
    for field, one, many in (
        ("apiGroups", "api group", "api groups"),
        ("resources", "resource", "resources"),
    ):
        values = found.get(field) or []
        if not values:
            causes.append(required(f"{path}.{field}", f"resource rules must supply at least one {one}"))
        elif len(values) > 1 and "*" in values:
            text = f"if '*' is present, must not specify other {many}"
            causes.append(bad(f"{path}.{field}", values, text))
    return causes + _namespaces(found, f"{path}.namespaces")


def _namespaces(found: Obj, path: str) -> list[Cause]:
    values = found.get("namespaces") or []
    if not values and not found.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        return [required(path, text)]
    if "*" in values:
        text = "if '*' is present, must not specify other namespaces"
        return [bad(path, values, text)] if len(values) > 1 else []
    return [
        bad(f"{path}[{position}]", value, NAMESPACES + text)
        for position, value in enumerate(values)
        for text in names.label(value)
    ]


def _paths(found: Obj, path: str) -> list[Cause]:
    causes = _verbs(found.get("verbs") or [], f"{path}.verbs")
    urls, field = found.get("nonResourceURLs") or [], f"{path}.nonResourceURLs"
    if not urls:
        return [*causes, required(field, "nonResourceURLs must contain at least one value")]
    if "*" in urls:
        text = "if '*' is present, must not specify other non-resource URLs"
        return causes + ([bad(field, urls, text)] if len(urls) > 1 else [])
    problems = ((f"{field}[{position}]", url, _url(url)) for position, url in enumerate(urls))
    return causes + [bad(where, url, text) for where, url, text in problems if text]


def _url(url: str) -> str:
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    if not url.startswith("/"):
        return "must start with slash"
    for part, name in ((" ", "white-space"), ("//", "double slash")):
        if part in url:
            return f"must not contain {name}"
    wildcards = url.count("*")
    wrong = wildcards > 1 or (wildcards == 1 and not url.endswith("/*"))
    return "wildcard can only do suffix matching" if wrong else ""
