"""ValidatingAdmissionPolicies on a request (`policy/validating/dispatcher.go`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.admissionmatching import Matcher
from edgelab.edgesite.apiserver.admissionrequests import Operation
from edgelab.edgesite.apiserver.authorization import Authorizer, refused
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.apiserver.policies import params
from edgelab.edgesite.apiserver.policies.access import authorizers
from edgelab.edgesite.apiserver.policies.compiling import Policy, compile_policy
from edgelab.edgesite.apiserver.policies.deciding import Decision, Decisions, decide
from edgelab.edgesite.apiserver.subkinds import Subkinds
from edgelab.edgesite.store import Entry, Store
from edgelab.objects.status import ApiError, not_found

Obj = dict[str, Any]
Kept = TypeVar("Kept")

POLICIES = "admissionregistration.k8s.io/validatingadmissionpolicies"
BINDINGS = "admissionregistration.k8s.io/validatingadmissionpolicybindings"
KEPT = 256
CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
FAILURE = "validation.policy.admission.k8s.io/validation_failure"
MAX_ANNOTATION = 10 << 10


class Denied(NamedTuple):
    """A refusal; without a binding the policy cannot be used at all."""

    policy: str
    binding: str
    message: str
    reason: str = "Invalid"

    def __str__(self) -> str:
        binding = f" with binding '{self.binding}'" if self.binding else ""
        return f"ValidatingAdmissionPolicy '{self.policy}'{binding} denied request: {self.message}"


@dataclass(slots=True)
class _Looked:
    """What looking at one request has found."""

    denied: list[Denied] = field(default_factory=list)
    annotations: dict[str, list[str]] = field(default_factory=dict)


class Policies:
    """Decides by the policies in the store; keeps them compiled."""

    def __init__(self, store: Store, kinds: Kinds, authorizer: Authorizer) -> None:
        self._store = store
        self._kinds = kinds
        self._authorizer = authorizer
        self._matcher = Matcher(store, kinds)
        self.subkinds = Subkinds(kinds.catalogue)
        self._compiled: dict[str, tuple[Entry, Policy]] = {}
        self._decoded: dict[str, tuple[Entry, Obj]] = {}

    def validate(self, operation: Operation, new: Obj | None) -> None:
        """Raises ApiError for a request that a policy does not allow."""
        access = authorizers(self._authorizer, operation)
        denied: list[Denied] = []
        for policy, bindings in self._bound():
            kind = self._matcher.matches(policy.spec["matchConstraints"], operation, new)
            if kind is None:
                continue
            looked = _Looked(denied)
            try:
                param_kind = params.kind_of(self._kinds, policy.spec.get("paramKind"))
            except params.BadConfiguration as error:
                if policy.fails:
                    denied.append(Denied(policy.name, "", f"failed to configure policy: {error}"))
                continue
            for binding in bindings:
                matching = binding["spec"].get("matchResources")
                if matching is None or self._matcher.matches(matching, operation, new) is not None:
                    case = _Case(operation, new, kind, param_kind, access)
                    self._apply(policy, binding, case, looked)
            for key, values in looked.annotations.items():
                operation.context.annotations.setdefault(f"{policy.name}/{key}", ", ".join(values))
        if denied:
            raise _error(operation, new, denied[0])

    def _bound(self) -> Iterator[tuple[Policy, list[Obj]]]:
        """The policies that have bindings."""
        bindings: dict[str, list[Obj]] = {}
        for entry in sorted(self._store.heads(BINDINGS), key=lambda entry: entry.key.name):
            binding = self._binding(entry)
            bindings.setdefault(binding["spec"]["policyName"], []).append(binding)
        for entry in sorted(self._store.heads(POLICIES), key=lambda entry: entry.key.name):
            if entry.key.name in bindings:
                yield self._policy(entry), bindings[entry.key.name]

    def _binding(self, entry: Entry) -> Obj:
        found = self._decoded.get(entry.key.name)
        if found is None or found[0] is not entry:
            found = _keep(self._decoded, entry, codec.decode(entry.data))
        return found[1]

    def _policy(self, entry: Entry) -> Policy:
        found = self._compiled.get(entry.key.name)
        if found is None or found[0] is not entry:
            found = _keep(self._compiled, entry, compile_policy(codec.decode(entry.data)))
        return found[1]

    def _apply(self, policy: Policy, binding: Obj, case: _Case, looked: _Looked) -> None:
        operation, name = case.operation, binding["metadata"]["name"]
        try:
            reference = binding["spec"].get("paramRef")
            found = params.collect(self._store, case.param_kind, reference, operation.namespace)
        except params.BadConfiguration as error:
            if policy.fails:
                looked.denied.append(Denied(policy.name, name, f"failed to configure binding: {error}"))
            return
        names = case.names(self._namespace(operation)) if found else {}
        for param in found:
            decisions = decide(policy, {**names, "params": param}, case.access)
            _enforce(policy, binding, decisions, operation, looked)

    def _namespace(self, operation: Operation) -> Obj | None:
        """What expressions see of the namespace. Raises ApiError 404."""
        if not operation.namespace or operation.is_namespace:
            return None
        found = self._matcher.namespace(operation.namespace)
        if found is None:
            raise not_found("namespaces", operation.namespace)
        hidden = ("managedFields", "ownerReferences", "selfLink")
        metadata = {field: value for field, value in found["metadata"].items() if field not in hidden}
        return {"metadata": metadata, "spec": found.get("spec") or {}, "status": found.get("status") or {}}


class _Case(NamedTuple):
    """A request as one policy sees it."""

    operation: Operation
    new: Obj | None
    kind: Kind
    param_kind: Kind | None
    access: Obj

    def names(self, namespace: Obj | None) -> Obj:
        """The variables, but for parameters and authorizers."""
        return {
            "object": self.operation.shown(self.new, self.kind),
            "oldObject": self.operation.shown(self.operation.old, self.kind),
            "request": self.operation.request(self.kind),
            "namespaceObject": namespace,
        }


def _keep(kept: dict[str, tuple[Entry, Kept]], entry: Entry, value: Kept) -> tuple[Entry, Kept]:
    kept.pop(entry.key.name, None)
    while len(kept) >= KEPT:
        del kept[next(iter(kept))]
    kept[entry.key.name] = found = (entry, value)
    return found


def _enforce(
    policy: Policy, binding: Obj, decisions: Decisions, operation: Operation, looked: _Looked
) -> None:
    """Do what the binding wants done with refusals."""
    name, actions = binding["metadata"]["name"], binding["spec"].get("validationActions") or ()
    for position, decision in enumerate(decisions.made):
        for action in actions if decision.denied else ():
            if action == "Deny":
                looked.denied.append(
                    Denied(policy.name, name, decision.message, decision.reason or "Invalid")
                )
            elif action == "Warn":
                text = (
                    f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding '{name}'"
                )
                operation.context.warn(f"{text}: {decision.message}")
            else:
                operation.context.annotations.setdefault(FAILURE, _failure(binding, position, decision))
    for key, value in decisions.annotations:
        values = looked.annotations.setdefault(key, [])
        text = value.encode()[:MAX_ANNOTATION].decode(errors="ignore")
        if text not in values:
            values.append(text)
    looked.denied += [Denied(policy.name, name, text) for text in decisions.errors]


def _failure(binding: Obj, position: int, decision: Decision) -> str:
    failure = {
        "message": decision.message,
        "policy": binding["spec"]["policyName"],
        "binding": binding["metadata"]["name"],
        "expressionIndex": position,
        "validationActions": binding["spec"]["validationActions"],
    }
    return json.dumps([failure], separators=(",", ":"))


def _error(operation: Operation, new: Obj | None, denied: Denied) -> ApiError:
    metadata = (new or {}).get("metadata") or {}
    name = operation.name or metadata.get("name") or metadata.get("generateName") or "Unknown"
    error = refused(operation.kind.group, operation.kind.plural, name, str(denied))
    details = {**(error.details or {}), "causes": [{"message": str(denied)}]}
    return ApiError(CODES.get(denied.reason, 422), error.message, reason=denied.reason, details=details)
