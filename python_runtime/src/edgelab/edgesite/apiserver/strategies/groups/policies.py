"""ValidatingAdmissionPolicies and their bindings (`pkg/apis/admissionregistration/validation`).

Expressions are compiled as they will be when requests are looked at; what their variables are is
in `policies`, which is imported with the first policy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgelab.edgesite.apiserver import names, objectmeta
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    Shown,
    bad,
    duplicate,
    forbidden,
    required,
    unsupported,
)
from edgelab.edgesite.apiserver.strategies import checks, conditions
from edgelab.edgesite.apiserver.strategies.groups import matchrules
from edgelab.edgesite.apiserver.strategy import Part, Strategy

if TYPE_CHECKING:
    from edgelab.edgesite.apiserver.cel.expressions import Expression

Obj = dict[str, Any]

GROUP = "admissionregistration.k8s.io"
ACTIONS = ["Audit", "Deny", "Warn"]
REASONS = ["Forbidden", "Invalid", "RequestEntityTooLarge"]
NOT_FOUND_ACTIONS = ["Deny", "Allow"]
MAX_ANNOTATIONS, MAX_EXPRESSION = 20, 5 << 10
IDENTIFIER = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
NEITHER = "validations or auditAnnotations must contain at least one item"
EXCLUSIVE = "name and selector are mutually exclusive"
DENY_AND_WARN = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API"
    " response and headers serves no purpose)"
)


def default(obj: Obj) -> None:
    """SetDefaults of policies and bindings."""
    spec = obj.get("spec")
    if obj["kind"] == "ValidatingAdmissionPolicy":
        spec = obj.setdefault("spec", {})
        spec.setdefault("failurePolicy", "Fail")
    for field in ("matchConstraints", "matchResources"):
        found = (spec or {}).get(field)
        if found is None:
            continue
        matchrules.default_matching(found)
        for rules in ("resourceRules", "excludeResourceRules"):
            for rule in found.get(rules) or ():
                matchrules.default_rule(rule)


def validate(obj: Obj) -> list[Cause]:
    """ValidateValidatingAdmissionPolicy."""
    return _policy(obj, checks_conditions=True)


def validate_update(new: Obj, old: Obj) -> list[Cause]:
    """Conditions that stay are not looked at again."""
    fields = ("paramKind", "matchConditions")
    same = all(checks.semantic(new["spec"].get(field), old["spec"].get(field)) for field in fields)
    causes = objectmeta.of_kind(new, GROUP, new["kind"])
    return causes + _policy(new, checks_conditions=not same)


def _policy(obj: Obj, *, checks_conditions: bool) -> list[Cause]:
    spec = obj.get("spec") or {}
    causes = matchrules.word(spec, "failurePolicy", matchrules.FAILURE_POLICIES, "spec")
    kind, constraints = spec.get("paramKind"), spec.get("matchConstraints")
    if kind is not None:
        causes += _param_kind(kind, "spec.paramKind")
    if constraints is None:
        causes.append(required("spec.matchConstraints"))
    else:
        causes += matchrules.match_resources(constraints, "spec.matchConstraints")
        if not constraints.get("resourceRules"):
            causes.append(required("spec.matchConstraints.resourceRules"))
    if checks_conditions:
        found = spec.get("matchConditions") or []
        causes += matchrules.conditions(found, "spec.matchConditions", params=kind is not None)
    return causes + _Expressions(obj, spec).validate()


def _param_kind(found: Obj, path: str) -> list[Cause]:
    version, kind = found.get("apiVersion") or "", found.get("kind") or ""
    causes = _api_version(version, f"{path}.apiVersion")
    if not kind:
        return [*causes, required(f"{path}.kind")]
    problems = names.service_label(kind.lower())
    if problems:
        text = f"may have mixed case, but should otherwise match: {','.join(problems)}"
        causes.append(bad(f"{path}.kind", kind, text))
    return causes


def _api_version(text: str, path: str) -> list[Cause]:
    if not text:
        return [required(path)]
    if text.count("/") > 1:
        return [bad(path, text, f"unexpected GroupVersion string: {text}")]
    group, _, version = text.rpartition("/")
    problems = names.subdomain(group) if group else []
    causes = [bad(path, group, ",".join(problems))] if problems else []
    if not version:
        return [*causes, bad(path, text, "version must be specified")]
    problems = names.service_label(version)
    return causes + ([bad(path, version, ",".join(problems))] if problems else [])


class _Expressions:
    """The expressions of a policy; each sees the variables before it."""

    def __init__(self, obj: Obj, spec: Obj) -> None:
        self._name = (obj.get("metadata") or {}).get("name") or ""
        self._spec = spec
        self._params = spec.get("paramKind") is not None
        self._composed: dict[str, Any] | None = {} if spec.get("variables") else None

    def validate(self) -> list[Cause]:
        spec = self._spec
        causes: list[Cause] = []
        for position, variable in enumerate(spec.get("variables") or ()):
            causes += self._variable(variable, f"spec.variables[{position}]")
        validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
        if not validations and not annotations:
            return [
                *causes,
                required("spec.validations", NEITHER),
                required("spec.auditAnnotations", NEITHER),
            ]
        for position, validation in enumerate(validations):
            causes += self._validation(validation, f"spec.validations[{position}]")
        if len(annotations) > MAX_ANNOTATIONS:
            fields = ("key", "valueExpression")
            shown = [Shown({f[0].upper() + f[1:]: item.get(f) or "" for f in fields}) for item in annotations]
            text = f"must not have more than {MAX_ANNOTATIONS} auditAnnotations"
            causes.append(bad("spec.auditAnnotations", shown, text))
        seen: set[str] = set()
        for position, item in enumerate(annotations):
            field, key = f"spec.auditAnnotations[{position}]", item.get("key") or ""
            causes += self._annotation(item, key, field)
            causes += [duplicate(f"{field}.key", key)] if key in seen else []
            seen.add(key)
        return causes

    def _compiled(self, source: str, wanted: tuple[str, ...], *, authorizer: bool = True) -> Expression:
        from edgelab.edgesite.apiserver.cel.expressions import compiled  # noqa: PLC0415 - rarely needed
        from edgelab.edgesite.apiserver.policies.variables import declared  # noqa: PLC0415 - rarely needed

        variables = declared(params=self._params, authorizer=authorizer, composed=self._composed)
        return compiled(source, variables, wanted)

    def _variable(self, variable: Obj, path: str) -> list[Cause]:
        name, expression = variable.get("name") or "", variable.get("expression") or ""
        causes: list[Cause] = []
        if not name.strip():
            causes.append(required(f"{path}.name", "name is not specified"))
        elif not _is_identifier(name):
            causes.append(bad(f"{path}.name", name, "must be a valid CEL identifier"))
        if not expression.strip():
            return [*causes, required(f"{path}.expression", "expression is not specified")]
        from edgelab.edgesite.apiserver.cel.expressions import composed  # noqa: PLC0415 - rarely needed

        found = self._compiled(expression, ())
        assert self._composed is not None
        self._composed[name] = composed(found.gives)
        return causes + matchrules.uncompiled(found, f"{path}.expression")

    def _validation(self, found: Obj, path: str) -> list[Cause]:
        expression, message = found.get("expression") or "", found.get("message") or ""
        computed, reason = found.get("messageExpression") or "", found.get("reason")
        causes: list[Cause] = []
        if not expression.strip():
            causes.append(required(f"{path}.expression", "expression is not specified"))
        else:
            causes += matchrules.uncompiled(self._compiled(expression, ("bool",)), f"{path}.expression")
        if computed and not computed.strip():
            causes.append(bad(f"{path}.messageExpression", computed, "must be non-empty if specified"))
        elif computed:
            result = self._compiled(computed, ("string",), authorizer=False)
            causes += matchrules.uncompiled(result, f"{path}.messageExpression")
        if message and not message.strip():
            causes.append(bad(f"{path}.message", message, "must be non-empty if specified"))
        elif re.search("[\n\r]", message.strip()):
            causes.append(bad(f"{path}.message", message, "must not contain line breaks"))
        if reason is not None and reason not in REASONS:
            causes.append(unsupported(f"{path}.reason", reason, REASONS))
        return causes

    def _annotation(self, found: Obj, key: str, path: str) -> list[Cause]:
        text, field = found.get("valueExpression") or "", f"{path}.valueExpression"
        if self._name:
            causes = checks.texts(names.qualified, f"{self._name}/{key}", f"{path}.key")
        else:
            causes = [bad(f"{path}.key", key, "requires metadata.name be non-empty")]
        expression = text.strip()
        if not expression:
            return [*causes, required(field, "valueExpression is not specified")]
        if len(expression.encode()) > MAX_EXPRESSION:
            return [*causes, required(field, f"must not exceed {MAX_EXPRESSION} bytes in length")]
        result = self._compiled(expression, ("string", "null_type"))
        return causes + matchrules.uncompiled(result, field, text)


def _is_identifier(name: str) -> bool:
    from edgelab.edgesite.apiserver.cel.schematypes import RESERVED  # noqa: PLC0415 - rarely needed

    return IDENTIFIER.fullmatch(name) is not None and name not in RESERVED


def validate_status(new: Obj, old: Obj) -> list[Cause]:
    """ValidateValidatingAdmissionPolicyStatusUpdate."""
    status = new.get("status") or {}
    causes: list[Cause] = []
    warnings = (status.get("typeChecking") or {}).get("expressionWarnings") or ()
    for position, warning in enumerate(warnings):
        path = f"status.typeChecking.expressionWarnings[{position}]"
        where = (warning.get("fieldRef") or "").strip()
        if not warning.get("warning"):
            causes.append(required(f"{path}.warning"))
        if not where:
            causes.append(required(f"{path}.fieldRef"))
        elif where.count("[") > where.count("]"):
            causes.append(bad(f"{path}.fieldRef", where, "invalid JSONPath: unterminated array"))
    return causes + conditions.validate(status.get("conditions") or [], "status.conditions")


def validate_binding(obj: Obj) -> list[Cause]:
    """ValidateValidatingAdmissionPolicyBinding."""
    spec = obj.get("spec") or {}
    name, matching = spec.get("policyName") or "", spec.get("matchResources")
    causes = checks.texts(names.subdomain, name, "spec.policyName") if name else [required("spec.policyName")]
    if spec.get("paramRef") is not None:
        causes += _param_ref(spec["paramRef"], "spec.paramRef")
    if matching is not None:
        causes += matchrules.match_resources(matching, "spec.matchResources")
    return causes + _actions(spec.get("validationActions") or [], "spec.validationActions")


def _param_ref(found: Obj, path: str) -> list[Cause]:
    name, selector = found.get("name") or "", found.get("selector")
    action = found.get("parameterNotFoundAction")
    causes = checks.texts(names.path_segment, name, f"{path}.name") if name else []
    if name and selector is not None:
        causes.append(forbidden(f"{path}.name", EXCLUSIVE))
    causes += checks.label_selector(selector, f"{path}.selector")
    if name and selector is not None:
        causes.append(forbidden(f"{path}.selector", EXCLUSIVE))
    if not name and selector is None:
        causes.append(required(path, "one of name or selector must be specified"))
    if not action:
        causes.append(required(f"{path}.parameterNotFoundAction"))
    elif action not in NOT_FOUND_ACTIONS:
        causes.append(unsupported(f"{path}.parameterNotFoundAction", action, NOT_FOUND_ACTIONS))
    return causes


def _actions(found: list[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for position, action in enumerate(found):
        if action not in ACTIONS:
            causes.append(unsupported(f"{path}[{position}]", action, ACTIONS))
        if action in found[:position]:
            causes.append(duplicate(f"{path}[{position}]", action))
    if {"Deny", "Warn"} <= set(found):
        causes.append(bad(path, found, DENY_AND_WARN))
    return causes if found else [*causes, required(path, "at least one validation action is required")]


def binding_changed(new: Obj, old: Obj) -> list[Cause]:
    """An update is validated as a new one."""
    return objectmeta.of_kind(new, GROUP, new["kind"]) + validate_binding(new)


def _keep_metadata(new: Obj, old: Obj) -> None:
    """ResetObjectMetaForStatus."""
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        if field in old["metadata"]:
            new["metadata"][field] = old["metadata"][field]
        else:
            new["metadata"].pop(field, None)


POLICY = Strategy(
    default=default,
    validate=validate,
    validate_update=validate_update,
    parts={"status": Part(_keep_metadata, validate_status)},
    unconditional=False,
)
BINDING = Strategy(
    default=default, validate=validate_binding, validate_update=binding_changed, unconditional=False
)
