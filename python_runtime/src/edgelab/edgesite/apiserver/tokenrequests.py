"""TokenRequests, checked (`pkg/registry/core/serviceaccount/storage/token.go`, `pkg/apis/authentication`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, invalid
from edgelab.edgesite.apiserver.tokens import DEFAULT_SECONDS, ISSUER, MAX_SECONDS, MIN_SECONDS
from edgelab.objects.status import ApiError, conflict

Obj = dict[str, Any]

GROUP, KIND = "authentication.k8s.io", "TokenRequest"
OTHER_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"


def checked(body: Obj, account: Obj, namespace: str) -> Obj:
    """The request with its defaults. Raises ApiError 409 for another account, 422 for a bad time."""
    metadata, own = body.get("metadata") or {}, account["metadata"]
    if (metadata.get("namespace") or namespace) != namespace:
        raise ApiError(400, OTHER_NAMESPACE)
    if (metadata.get("name") or own["name"]) != own["name"]:
        text = "must match the service account name if specified"
        raise invalid(KIND, GROUP, own["name"], [bad("metadata.name", metadata["name"], text)])
    uid = metadata.get("uid")
    if uid and uid != own["uid"]:
        text = f"the UID in the token request ({uid}) does not match the UID of the service account"
        raise conflict(KIND, own["name"], f"{text} ({own['uid']})", GROUP)
    spec = {**(body.get("spec") or {})}
    spec["audiences"] = spec.get("audiences") or [ISSUER]
    seconds = spec.get("expirationSeconds")
    spec["expirationSeconds"] = DEFAULT_SECONDS if seconds is None else seconds
    spec["boundObjectRef"] = spec.get("boundObjectRef")
    causes = _problems(spec["expirationSeconds"])
    if causes:
        raise invalid(KIND, GROUP, "", causes)
    return {**body, "spec": spec}


def _problems(seconds: int) -> list[Cause]:
    field = "spec.expirationSeconds"
    if seconds < MIN_SECONDS:
        return [bad(field, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > MAX_SECONDS:
        return [bad(field, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []
