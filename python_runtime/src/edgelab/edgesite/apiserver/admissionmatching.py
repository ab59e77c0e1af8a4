"""Which requests webhooks and policies want to see (`admission/plugin/webhook/predicates`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.admissionrequests import Operation
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.store import Entry, Key, Store
from edgelab.objects.selectors import from_object

Obj = dict[str, Any]


class Matcher:
    """Selectors and rules against a request."""

    def __init__(self, store: Store, kinds: Kinds) -> None:
        self._store = store
        self._kinds = kinds
        self._seen: tuple[Entry, Obj] | None = None

    def kind_for(self, found: Obj, rules: str, operation: Operation, new: Obj | None) -> Kind | None:
        """As which kind a webhook wants to see the object; None if it does not."""
        kind = self.by_rules(found.get(rules) or (), found.get("matchPolicy") != "Exact", operation)
        return kind if kind is not None and self.selected(found, operation, new) else None

    def matches(self, found: Obj, operation: Operation, new: Obj | None) -> Kind | None:
        """The same for the constraints of a policy; without rules everything is wanted."""
        alike, rules = found.get("matchPolicy") == "Equivalent", found.get("resourceRules")
        kind = self.by_rules(rules, alike, operation) if rules else operation.kind
        if kind is None or not self.selected(found, operation, new):
            return None
        excluded = self.by_rules(found.get("excludeResourceRules") or (), alike, operation)
        return kind if excluded is None else None

    def by_rules(self, rules: Iterable[Obj], alike: bool, operation: Operation) -> Kind | None:
        """The kind that the rules name: the request's own, or else one that holds the same objects."""
        found = list(rules)
        if any(_applies(rule, operation.kind, operation) for rule in found):
            return operation.kind
        for rule in found if alike else ():
            for kind in self._alike(operation.kind):
                if _applies(rule, kind, operation):
                    return kind
        return None

    def _alike(self, kind: Kind) -> Iterator[Kind]:
        return (other for other in self._kinds if other.bucket == kind.bucket and other is not kind)

    def selected(self, found: Obj, operation: Operation, new: Obj | None) -> bool:
        """Whether the selectors of namespaces and objects fit."""
        return self._in_namespace(found.get("namespaceSelector"), operation, new) and any(
            from_object(found.get("objectSelector") or {}).matches((obj.get("metadata") or {}).get("labels"))
            for obj in (new, operation.old)
            if obj is not None
        )

    def _in_namespace(self, selector: Obj | None, operation: Operation, new: Obj | None) -> bool:
        wanted = from_object(selector or {})
        if not wanted or (not operation.namespace and not operation.is_namespace):
            return True
        if operation.is_namespace and not operation.subresource and operation.verb != "DELETE":
            return wanted.matches(((new or {}).get("metadata") or {}).get("labels"))
        namespace = self.namespace(operation.namespace)
        return namespace is not None and wanted.matches(namespace["metadata"].get("labels"))

    def namespace(self, name: str) -> Obj | None:
        """A Namespace as it is now."""
        entry = self._store.head(Key("namespaces", "", name))
        if entry is None:
            return None
        if self._seen is None or self._seen[0] is not entry:
            self._seen = (entry, codec.decode(entry.data))
        return self._seen[1]


def _applies(rule: Obj, kind: Kind, operation: Operation) -> bool:
    scope = rule.get("scope") or "*"
    if scope != "*" and (scope == "Namespaced") != kind.resource.namespaced:
        return False
    asked = (
        (operation.verb, "operations"),
        (kind.group, "apiGroups"),
        (kind.resource.version, "apiVersions"),
    )
    for value, field in asked:
        if "*" not in (rule.get(field) or ()) and value not in (rule.get(field) or ()):
            return False
    if rule.get("resourceNames") and operation.name not in rule["resourceNames"]:
        return False
    for pattern in rule.get("resources") or ():
        plural, _, part = pattern.partition("/")
        if plural in ("*", kind.plural) and part in ("*", operation.subresource):
            return True
    return False
