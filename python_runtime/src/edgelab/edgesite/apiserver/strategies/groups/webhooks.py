"""Configurations of admission webhooks (`pkg/apis/admissionregistration`); policies are refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from edgelab.edgesite.apiserver import names, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]

VERSIONS = ("v1", "v1beta1")
OPERATIONS = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]
SCOPES = ["*", "Cluster", "Namespaced"]
SIDE_EFFECTS = ["None", "NoneOnDryRun"]
FORM = "; desired format: https://host[/path]"
POLICIES = "EdgeSite does not evaluate policies in CEL; use an admission webhook"


def default(obj: Obj) -> None:
    """Defaults of webhooks."""
    for hook in obj.get("webhooks") or ():
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("matchPolicy", "Equivalent")
        hook.setdefault("namespaceSelector", {})
        hook.setdefault("objectSelector", {})
        hook.setdefault("timeoutSeconds", 10)
        if obj["kind"] == "MutatingWebhookConfiguration":
            hook.setdefault("reinvocationPolicy", "Never")
        for rule in hook.get("rules") or ():
            rule.setdefault("scope", "*")
        service = (hook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)


def validate(obj: Obj) -> list[Cause]:
    """ValidateValidatingWebhookConfiguration and its twin."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, hook in enumerate(obj.get("webhooks") or ()):
        field, name = f"webhooks[{position}]", hook.get("name") or ""
        causes += _hook(hook, field, name)
        causes += _review_versions(
            hook.get("admissionReviewVersions") or [], f"{field}.admissionReviewVersions"
        )
        if name and name in seen:
            causes.append(duplicate(f"{field}.name", name))
        seen.add(name)
    return causes


def _hook(hook: Obj, path: str, name: str) -> list[Cause]:
    causes = _qualified(name, f"{path}.name")
    for position, rule in enumerate(hook.get("rules") or ()):
        causes += _rule(rule, f"{path}.rules[{position}]")
    causes += _word(hook, "failurePolicy", ["Fail", "Ignore"], path)
    causes += _word(hook, "matchPolicy", ["Equivalent", "Exact"], path)
    effects, seconds = hook.get("sideEffects"), hook.get("timeoutSeconds")
    if effects is None:
        text = f"must specify one of {', '.join(SIDE_EFFECTS)}"
        causes.append(required(f"{path}.sideEffects", text))
    causes += _word(hook, "sideEffects", SIDE_EFFECTS, path)
    if seconds is not None and not 1 <= seconds <= 30:
        text = "the timeout value must be between 1 and 30 seconds"
        causes.append(bad(f"{path}.timeoutSeconds", seconds, text))
    for field in ("namespaceSelector", "objectSelector"):
        causes += checks.label_selector(hook.get(field), f"{path}.{field}")
    causes += _word(hook, "reinvocationPolicy", ["IfNeeded", "Never"], path)
    causes += _client(hook.get("clientConfig") or {}, f"{path}.clientConfig")
    if hook.get("matchConditions"):
        causes.append(forbidden(f"{path}.matchConditions", POLICIES))
    return causes


def _word(hook: Obj, field: str, allowed: list[str], path: str) -> list[Cause]:
    value = hook.get(field)
    return [] if value is None or value in allowed else [unsupported(f"{path}.{field}", value, allowed)]


def _qualified(name: str, path: str) -> list[Cause]:
    if not name:
        return [required(path)]
    problems = names.subdomain(name)
    if problems:
        return [bad(path, name, ",".join(problems))]
    text = "should be a domain with at least three segments separated by dots"
    return [bad(path, name, text)] if name.count(".") < 2 else []


def _rule(rule: Obj, path: str) -> list[Cause]:
    operations, causes = rule.get("operations") or [], []
    if not operations:
        causes.append(required(f"{path}.operations"))
    if len(operations) > 1 and "*" in operations:
        text = "if '*' is present, must not specify other operations"
        causes.append(bad(f"{path}.operations", operations, text))
    for position, operation in enumerate(operations):
        if operation not in OPERATIONS:
            causes.append(unsupported(f"{path}.operations[{position}]", operation, OPERATIONS))
    for field, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(field) or []
        causes += [] if values else [required(f"{path}.{field}")]
        if len(values) > 1 and "*" in values:
            text = f"if '*' is present, must not specify other {what}"
            causes.append(bad(f"{path}.{field}", values, text))
        if field == "apiVersions":
            causes += [required(f"{path}.{field}[{i}]") for i, value in enumerate(values) if not value]
    causes += _resources(rule.get("resources") or [], f"{path}.resources")
    return causes + _word(rule, "scope", SCOPES, path)


def _resources(found: list[str], path: str) -> list[Cause]:
    causes = [] if found else [required(path)]
    whole: set[str] = set()
    every: set[str] = set()
    plain = False
    for position, item in enumerate(found):
        field = f"{path}[{position}]"
        if not item:
            causes.append(required(field))
            continue
        resource, slash, part = item.partition("/")
        if not slash:
            plain = item != "*"
            continue
        if resource in whole:
            causes.append(bad(field, item, f"if '{resource}/*' is present, must not specify {item}"))
        if part in every:
            causes.append(bad(field, item, f"if '*/{part}' is present, must not specify {item}"))
        whole |= {resource} if part == "*" else set()
        every |= {part} if resource == "*" else set()
    if len(found) > 1 and "*/*" in found:
        causes.append(bad(path, found, "if '*/*' is present, must not specify other resources"))
    if "*" in found and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        causes.append(bad(path, found, text))
    return causes


def _client(config: Obj, path: str) -> list[Cause]:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    return _url(url, f"{path}.url") if url is not None else _service(service or {}, f"{path}.service")


def _url(url: str, path: str) -> list[Cause]:
    parts = urlsplit(url)
    causes: list[Cause] = []
    if parts.scheme != "https":
        causes.append(bad(path, parts.scheme, f"'https' is the only allowed URL scheme{FORM}"))
    if not parts.netloc:
        causes.append(bad(path, parts.netloc, f"host must be specified{FORM}"))
    if parts.username is not None:
        user = parts.netloc.rpartition("@")[0]
        causes.append(bad(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        causes.append(bad(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        causes.append(bad(path, parts.query, "query parameters are not permitted in the URL"))
    return causes


def _service(service: Obj, path: str) -> list[Cause]:
    # kube-apiserver checks them the other way round: an empty namespace is reported first, as the name
    causes = [] if service.get("namespace") else [required(f"{path}.name")]
    causes += [] if service.get("name") else [required(f"{path}.namespace")]
    port, where = service.get("port") or 0, service.get("path")
    if not 1 <= port <= 65535:
        causes.append(bad(f"{path}.port", port, f"port is not valid: {checks.PORT_RANGE}"))
    if not where or where == "/":
        return causes
    field = f"{path}.path"
    if where == "//":
        return [*causes, bad(field, where, "segment[0] may not be empty")]
    if not where.startswith("/"):
        causes.append(bad(field, where, "must start with a '/'"))
    for position, step in enumerate(where[1:].removesuffix("/").split("/")):
        problems = names.subdomain(step) if step else []
        causes += [bad(field, where, f"segment[{position}]: {text}") for text in problems]
        causes += [] if step else [bad(field, where, f"segment[{position}] may not be empty")]
    return causes


def _review_versions(found: list[str], path: str) -> list[Cause]:
    if not found:
        return [required(path, f"must specify one of {', '.join(VERSIONS)}")]
    causes: list[Cause] = []
    for position, version in enumerate(found):
        field = f"{path}[{position}]"
        if version in found[:position]:
            causes.append(bad(field, version, "duplicate version"))
        else:
            causes += checks.texts(names.service_label, version, field)
    if not set(found) & set(VERSIONS):
        text = f"must include at least one of {', '.join(VERSIONS)}"
        causes.append(bad(path, found, text))
    return causes


def changed(new: Obj, old: Obj) -> list[Cause]:
    """An update is validated as a new one."""
    return objectmeta.of_kind(new, "admissionregistration.k8s.io", new["kind"]) + validate(new)


def refused(obj: Obj) -> list[Cause]:
    """A policy that would be stored and never enforced is worse than none."""
    return [forbidden("spec", POLICIES)]


WEBHOOKS = Strategy(default=default, validate=validate, validate_update=changed)
POLICY = Strategy(validate=refused)
