"""The parameters that a binding gives to its policy (`policy/generic/policy_dispatcher.go`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.store import Key, Store
from edgelab.objects.selectors import from_object

Obj = dict[str, Any]


class BadConfiguration(Exception):
    """A policy or a binding cannot be used as it is."""


def kind_of(kinds: Kinds, wanted: Obj | None) -> Kind | None:
    """The kind of the parameters. Raises BadConfiguration."""
    if wanted is None:
        return None
    found = kinds.by_kind(wanted["apiVersion"], wanted["kind"])
    if found is None:
        text = f"{wanted['apiVersion']}, Kind={wanted['kind']}"
        if "/" not in wanted["apiVersion"]:
            text = f"/{text}"
        raise BadConfiguration(f"failed to find resource referenced by paramKind: '{text}'")
    return found


def collect(store: Store, kind: Kind | None, reference: Obj | None, namespace: str) -> list[Obj | None]:
    """CollectParams: one evaluation for each. Raises BadConfiguration."""
    if kind is None or reference is None:
        return [None]
    where = reference.get("namespace") or ""
    if kind.resource.namespaced:
        where = where or namespace
        if not where:
            raise BadConfiguration(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
    elif where:
        raise BadConfiguration("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    found: list[Obj | None] = list(_found(store, kind, reference, where))
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        raise BadConfiguration("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def _found(store: Store, kind: Kind, reference: Obj, namespace: str) -> Iterator[Obj]:
    if reference.get("name"):
        entry = store.head(Key(kind.bucket, namespace, reference["name"]))
        if entry is not None:
            yield codec.decode(codec.convert(entry.data, kind))
        return
    selector = from_object(reference.get("selector") or {})
    for entry in sorted(store.heads(kind.bucket), key=lambda entry: entry.key):
        if entry.key.namespace == namespace and selector.matches(entry.labels):
            yield codec.decode(codec.convert(entry.data, kind))
