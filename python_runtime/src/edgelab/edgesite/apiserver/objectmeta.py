"""metadata: what the server sets, keeps, and checks (`apiserver/pkg/registry/rest`)."""

from __future__ import annotations

import secrets
from typing import Any

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    Shown,
    bad,
    forbidden,
    immutable,
    quote,
    required,
    too_long,
)
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.objects.status import ApiError
from edgelab.uids import new_uid

Obj = dict[str, Any]

SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: suffixes must not spell words
MAX_GENERATED = 63 - 5
MAX_ANNOTATIONS = 256 << 10
OTHER_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"
STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
DUPLICATE_OWNERS = (
    ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and"
    " may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
)
LOOSE = {("coordination.k8s.io", "Lease"), ("node.k8s.io", "RuntimeClass")}
"""Kinds whose finalizers do not have to be qualified."""
SERVER_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")


def prepare_new(obj: Obj, kind: Kind, namespace: str, clock: Clock, *, counted: bool) -> None:
    """Set what the server decides for a new object. Raises ApiError 400 for another namespace."""
    metadata = obj["metadata"]
    check_namespace(metadata, kind, namespace)
    for field in (*SERVER_FIELDS, "resourceVersion", "managedFields", *(("generation",) if counted else ())):
        metadata.pop(field, None)
    if metadata.get("generateName") and not metadata.get("name"):
        suffix = "".join(secrets.choice(SUFFIX) for _ in range(5))
        metadata["name"] = metadata["generateName"][:MAX_GENERATED] + suffix
    metadata["uid"] = new_uid()
    metadata["creationTimestamp"] = rfc3339(clock.now())
    if counted:
        metadata["generation"] = 1


def check_name(metadata: Obj, name: str) -> None:
    """The object's name must be the path's. Raises ApiError 400."""
    given = metadata.get("name")
    if not given:
        text = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        raise ApiError(400, text)
    if given != name:
        raise ApiError(400, f"the name of the object ({given}) does not match the name on the URL ({name})")


def check_namespace(metadata: Obj, kind: Kind, namespace: str) -> None:
    """The object's namespace must be the path's; without one it gets it. A cluster's object has none."""
    if not kind.resource.namespaced:
        if kind.name == "Namespace" and not kind.group:
            metadata.pop("namespace", None)
        elif metadata.pop("namespace", None):
            raise ApiError(400, OTHER_NAMESPACE)
        return
    if (metadata.get("namespace") or namespace) != namespace:
        raise ApiError(400, OTHER_NAMESPACE)
    metadata["namespace"] = namespace


def without_twice(metadata: Obj, context: Context) -> None:
    """Keep one of several equal references to owners, with a warning."""
    owners = metadata.get("ownerReferences")
    if not owners or len(owners) < 2:
        return
    kept: list[Obj] = []
    twice: list[str] = []
    for owner in owners:
        if owner in kept:
            twice.append(str(owner.get("uid") or ""))
        else:
            kept.append(owner)
    if twice:
        metadata["ownerReferences"] = kept
        context.warnings.append(DUPLICATE_OWNERS + ", ".join(dict.fromkeys(twice)))


def carry_over(new: Obj, old: Obj) -> None:
    """Put back what a client cannot change."""
    mine, theirs = new["metadata"], old["metadata"]
    for field in (*SERVER_FIELDS, "generation", "resourceVersion"):
        if field in theirs:
            mine[field] = theirs[field]
        else:
            mine.pop(field, None)
    if "generateName" in theirs:
        mine.setdefault("generateName", theirs["generateName"])


def keep_described(new: Obj, old: Obj) -> None:
    """A change of the status leaves labels and the like alone (ResetObjectMetaForStatus)."""
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        new["metadata"].pop(field, None)
        if field in old["metadata"]:
            new["metadata"][field] = old["metadata"][field]


def validate(obj: Obj, kind: Kind) -> list[Cause]:
    """What is wrong with an object's metadata."""
    if kind.custom is None:
        return of_kind(obj, kind.group, kind.name)
    return _named(obj["metadata"], names.subdomain) + _common(obj["metadata"])


def of_kind(obj: Obj, group: str, kind: str) -> list[Cause]:
    """ValidateObjectMeta with the rules of a built-in kind."""
    metadata = obj["metadata"]
    causes = _named(metadata, names.check_for(group, kind)) + _common(metadata)
    return causes + ([] if (group, kind) in LOOSE else _kube_finalizers(metadata))


def generic(obj: Obj, *, named_only: bool = False) -> list[Cause]:
    """What `rest` checks for every kind: the name has to fit into a path.

    With `named_only` the rest was found to be right already.
    """
    causes = _named(obj["metadata"], names.path_segment)
    return causes if named_only else causes + _common(obj["metadata"])


def _named(metadata: Obj, check: names.Check) -> list[Cause]:
    name, prefix = metadata.get("name") or "", metadata.get("generateName") or ""
    causes: list[Cause] = []
    if prefix:
        causes += [bad("metadata.generateName", prefix, text) for text in check(names.masked(prefix))]
    if not name:
        return [*causes, required("metadata.name", "name or generateName is required")]
    return causes + [bad("metadata.name", name, text) for text in check(name)]


def _common(metadata: Obj) -> list[Cause]:
    namespace = metadata.get("namespace") or ""
    causes: list[Cause] = []
    if namespace:
        causes += [bad("metadata.namespace", namespace, text) for text in names.label(namespace)]
    causes += _texts(metadata) + _owners(metadata)
    finalizers = metadata.get("finalizers") or []
    for finalizer in finalizers:
        causes += [bad("metadata.finalizers", finalizer, text) for text in names.qualified(finalizer)]
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(bad("metadata.finalizers", finalizers, text))
    return causes


def _texts(metadata: Obj) -> list[Cause]:
    causes: list[Cause] = []
    for key, value in (metadata.get("labels") or {}).items():
        for text in names.qualified(key):
            causes.append(bad("metadata.labels", key, text))
        for text in names.label_value(value):
            causes.append(bad("metadata.labels", value, text))
    annotations, size = metadata.get("annotations") or {}, 0
    for key, value in annotations.items():
        size += len(key.encode()) + len(value.encode())
        for text in names.qualified(key.lower()):
            causes.append(bad("metadata.annotations", key, text))
    if size > MAX_ANNOTATIONS:
        causes.append(too_long("metadata.annotations", MAX_ANNOTATIONS))
    return causes


def _kube_finalizers(metadata: Obj) -> list[Cause]:
    text = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        bad(f"metadata.finalizers[{position}]", name, text)
        for position, name in enumerate(metadata.get("finalizers") or ())
        if "/" not in name and name not in STANDARD_FINALIZERS
    ]


def _owners(metadata: Obj) -> list[Cause]:
    causes: list[Cause] = []
    owners, first = metadata.get("ownerReferences") or [], ""
    for owner in owners:
        path = "metadata.ownerReferences"
        version = owner.get("apiVersion") or ""
        if version.count("/") > 1 or not version.rpartition("/")[2]:
            causes.append(bad(f"{path}.apiVersion", version, "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                causes.append(bad(f"{path}.{field}", owner.get(field) or "", "must not be empty"))
        if (version, owner.get("kind")) == ("v1", "Event"):
            text = "/v1, Kind=Event is disallowed from being an owner"
            causes.append(bad(path, _shown_owner(owner), text))
        if owner.get("controller"):
            current = f"{owner.get('kind') or ''}/{owner.get('name') or ''}"
            if first:
                text = 'Only one reference can have Controller set to true. Found "true" in references for'
                shown = [_shown_owner(item) for item in owners]
                causes.append(bad(path, shown, f"{text} {first} and {current}"))
            first = first or current
    return causes


def _shown_owner(owner: Obj) -> Shown:
    needed: Obj = {field: owner.get(field) or "" for field in ("apiVersion", "kind", "name", "uid")}
    extra: Obj = {f: owner[f] for f in ("controller", "blockOwnerDeletion") if f in owner}
    return Shown({**needed, **extra})


def changed(new: Obj, old: Obj, *, kube: bool = True) -> list[Cause]:
    """ValidateObjectMetaUpdate: what of the metadata must not have changed."""
    mine, theirs = new["metadata"], old["metadata"]
    causes: list[Cause] = []
    if theirs.get("deletionTimestamp"):
        added = sorted(set(mine.get("finalizers") or ()) - set(theirs.get("finalizers") or ()))
        if added:
            shown = ", ".join(quote(name) for name in added)
            text = (
                "no new finalizers can be added if the object is being deleted, found new finalizers"
                f" []string{{{shown}}}"
            )
            causes.append(forbidden("metadata.finalizers", text))
    if mine.get("name") != theirs.get("name"):
        causes.append(immutable("metadata.name", mine.get("name")))
    causes += _texts(mine) + _owners(mine)
    return causes + (_kube_finalizers(mine) if kube else [])


def validate_update(new: Obj, old: Obj) -> list[Cause]:
    """The same where finalizers are anybody's: custom resources, and what `rest` checks for all kinds."""
    return changed(new, old, kube=False)


def validate_uid(new: Obj, old: Obj) -> list[Cause]:
    """A patch may not change the uid; kube-apiserver finds that twice."""
    wanted, found = new["metadata"].get("uid"), old["metadata"].get("uid")
    return [] if not wanted or wanted == found else [immutable("metadata.uid", wanted)] * 2
