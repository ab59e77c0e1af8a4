"""What a service account's token may be bound to (`pkg/registry/core/serviceaccount/storage/token.go`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.objects.status import ApiError, conflict

Obj = dict[str, Any]

PLURALS = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}


def claim(registry: Registry, account: Obj, reference: Obj | None) -> Obj:
    """The claim that binds a token of an account to the object of a `boundObjectRef`, by the claim's
    name; empty without a reference. Raises ApiError 400 for a kind that nothing can be bound to, 404 for
    a missing object, 409 when it is another object of that name.
    """
    if not reference:
        return {}
    version, name = reference.get("apiVersion") or "", reference.get("name") or ""
    group, _, number = version.rpartition("/")
    plural = PLURALS.get(reference.get("kind") or "")
    kind = None if group or plural is None else registry.kinds.find("", "v1", plural)
    if kind is None:
        asked = f"{group}/{number}, Kind={reference.get('kind') or ''}"
        raise ApiError(400, f"cannot bind token to object of type {asked}")
    found = codec.decode(registry.get(kind, account["metadata"]["namespace"], name).data)
    own, uid = account["metadata"]["name"], reference.get("uid")
    if kind.name == "Pod" and ((found.get("spec") or {}).get("serviceAccountName") or "default") != own:
        raise ApiError(
            400,
            f'cannot bind token for serviceaccount "{own}" to pod running with different serviceaccount'
            " name.",
        )
    if uid and uid != found["metadata"]["uid"]:
        raise conflict(
            kind.name,
            name,
            f"the UID in the bound object reference ({uid}) does not match the UID in record."
            " The object might have been deleted and then recreated",
        )
    return {kind.name.lower(): {"name": name, "uid": found["metadata"]["uid"]}}
