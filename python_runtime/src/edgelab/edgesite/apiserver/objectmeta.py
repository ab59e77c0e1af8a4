"""metadata: what the server sets, keeps, and checks (`apiserver/pkg/registry/rest`)."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, immutable, required
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: suffixes must not spell words
MAX_GENERATED = 63 - 5
MAX_ANNOTATIONS = 256 << 10
SERVER_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")


def prepare_new(obj: Obj, kind: Kind, namespace: str, clock: Clock, *, counted: bool) -> None:
    """Set what the server decides for a new object. Raises ApiError 400 for another namespace."""
    metadata = obj["metadata"]
    check_namespace(metadata, kind, namespace)
    for field in (*SERVER_FIELDS, "resourceVersion", "generation", "managedFields"):
        metadata.pop(field, None)
    if metadata.get("generateName") and not metadata.get("name"):
        suffix = "".join(secrets.choice(SUFFIX) for _ in range(5))
        metadata["name"] = metadata["generateName"][:MAX_GENERATED] + suffix
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = rfc3339(clock.now())
    if counted:
        metadata["generation"] = 1


def check_namespace(metadata: Obj, kind: Kind, namespace: str) -> None:
    """The object's namespace must be the path's; without one it gets it."""
    if not kind.resource.namespaced:
        if metadata.pop("namespace", None):
            raise ApiError(
                400, "the namespace of the provided object does not match the namespace sent on the request"
            )
        return
    if metadata.setdefault("namespace", namespace) != namespace:
        raise ApiError(
            400, "the namespace of the provided object does not match the namespace sent on the request"
        )


def carry_over(new: Obj, old: Obj) -> None:
    """Put back what a client cannot change."""
    mine, theirs = new["metadata"], old["metadata"]
    for field in (*SERVER_FIELDS, "generation", "resourceVersion"):
        if field in theirs:
            mine[field] = theirs[field]
        else:
            mine.pop(field, None)
    if "managedFields" not in mine and "managedFields" in theirs:
        mine["managedFields"] = theirs["managedFields"]
    if "generateName" in theirs:
        mine.setdefault("generateName", theirs["generateName"])


def validate(obj: Obj, kind: Kind) -> list[Cause]:
    """What is wrong with an object's metadata."""
    metadata = obj["metadata"]
    name, causes = metadata.get("name") or "", []
    if not name:
        causes.append(required("metadata.name", "name or generateName is required"))
    else:
        causes += [bad("metadata.name", name, text) for text in names.check_for(kind.group, kind.name)(name)]
    for key, value in (metadata.get("labels") or {}).items():
        causes += [bad("metadata.labels", key, text) for text in names.qualified(key)]
        causes += [bad("metadata.labels", value, text) for text in names.label_value(value)]
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        causes += [bad("metadata.annotations", key, text) for text in names.qualified(key.lower())]
    if sum(len(key) + len(value) for key, value in annotations.items()) > MAX_ANNOTATIONS:
        message = f"Too long: may not be more than {MAX_ANNOTATIONS} bytes"
        causes.append(Cause("metadata.annotations", "FieldValueTooLong", message))
    for finalizer in metadata.get("finalizers") or ():
        causes += [bad("metadata.finalizers", finalizer, text) for text in names.qualified(finalizer)]
    return causes + _owners(metadata)


def _owners(metadata: Obj) -> list[Cause]:
    causes: list[Cause] = []
    controllers = []
    for position, owner in enumerate(metadata.get("ownerReferences") or ()):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                path = f"metadata.ownerReferences[{position}].{field}"
                causes.append(bad(path, owner.get(field) or "", "must not be empty"))
        if owner.get("controller"):
            controllers.append(owner)
    if len(controllers) > 1:
        text = "Only one reference can have Controller set to true."
        causes.append(bad("metadata.ownerReferences", metadata["ownerReferences"], text))
    return causes


def validate_update(new: Obj, old: Obj) -> list[Cause]:
    """What of the metadata must not have changed."""
    mine, theirs = new["metadata"], old["metadata"]
    causes = []
    if mine.get("name") != theirs.get("name"):
        causes.append(immutable("metadata.name", mine.get("name")))
    if theirs.get("deletionTimestamp"):
        added = set(mine.get("finalizers") or ()) - set(theirs.get("finalizers") or ())
        if added:
            text = (
                "no new finalizers can be added if the object is being deleted,"
                f" found new finalizers {sorted(added)}"
            )
            causes.append(forbidden("metadata.finalizers", text))
    return causes
