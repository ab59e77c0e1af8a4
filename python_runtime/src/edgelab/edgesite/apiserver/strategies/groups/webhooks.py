"""Configurations of admission webhooks (`pkg/apis/admissionregistration`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import names, objectmeta, webhookclients
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, required
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.groups import matchrules
from edgelab.edgesite.apiserver.strategies.groups.matchrules import word
from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]

VERSIONS = ("v1", "v1beta1")
SIDE_EFFECTS = ["None", "NoneOnDryRun"]


def default(obj: Obj) -> None:
    """Defaults of webhooks."""
    for hook in obj.get("webhooks") or ():
        hook.setdefault("failurePolicy", "Fail")
        matchrules.default_matching(hook)
        hook.setdefault("timeoutSeconds", 10)
        if obj["kind"] == "MutatingWebhookConfiguration":
            hook.setdefault("reinvocationPolicy", "Never")
        for rule in hook.get("rules") or ():
            matchrules.default_rule(rule)
        service = (hook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", webhookclients.PORT)


def validate(obj: Obj) -> list[Cause]:
    """ValidateValidatingWebhookConfiguration and its twin."""
    return _validated(obj, checks_conditions=True)


def _validated(obj: Obj, *, checks_conditions: bool) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, hook in enumerate(obj.get("webhooks") or ()):
        field, name = f"webhooks[{position}]", hook.get("name") or ""
        causes += _hook(hook, field, name)
        if checks_conditions:
            found = hook.get("matchConditions") or []
            causes += matchrules.conditions(found, f"{field}.matchConditions")
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
        causes += matchrules.rule(rule, f"{path}.rules[{position}]")
    causes += word(hook, "failurePolicy", matchrules.FAILURE_POLICIES, path)
    causes += word(hook, "matchPolicy", matchrules.MATCH_POLICIES, path)
    effects, seconds = hook.get("sideEffects"), hook.get("timeoutSeconds")
    if effects is None:
        text = f"must specify one of {', '.join(SIDE_EFFECTS)}"
        causes.append(required(f"{path}.sideEffects", text))
    causes += word(hook, "sideEffects", SIDE_EFFECTS, path)
    if seconds is not None and not 1 <= seconds <= 30:
        text = "the timeout value must be between 1 and 30 seconds"
        causes.append(bad(f"{path}.timeoutSeconds", seconds, text))
    for field in ("namespaceSelector", "objectSelector"):
        causes += checks.label_selector(hook.get(field), f"{path}.{field}")
    causes += word(hook, "reinvocationPolicy", ["IfNeeded", "Never"], path)
    causes += webhookclients.client(hook.get("clientConfig") or {}, f"{path}.clientConfig")
    return causes


def _qualified(name: str, path: str) -> list[Cause]:
    if not name:
        return [required(path)]
    problems = names.subdomain(name)
    if problems:
        return [bad(path, name, ",".join(problems))]
    text = "should be a domain with at least three segments separated by dots"
    return [bad(path, name, text)] if name.count(".") < 2 else []


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
    """Conditions that stay are not looked at again."""
    found = [[hook.get("matchConditions") for hook in obj.get("webhooks") or ()] for obj in (new, old)]
    causes = objectmeta.of_kind(new, "admissionregistration.k8s.io", new["kind"])
    return causes + _validated(new, checks_conditions=found[0] != found[1])


WEBHOOKS = Strategy(default=default, validate=validate, validate_update=changed, unconditional=False)
