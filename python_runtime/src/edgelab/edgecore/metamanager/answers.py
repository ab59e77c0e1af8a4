"""Reading CloudCore's answers (KubeEdge `cloud/pkg/edgecontroller/controller/upstream.go`).

Three shapes occur: the text `OK`; `{"Object": ..., "Err": ...}`; the object itself, or in its place an
error as Go marshals it: `{"ErrStatus": {...}}`, or `{}` when its text was lost.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgelab.edgecore.interfaces import Obj, RemoteError
from edgelab.protocol.message import Message

LOST = "CloudCore reported a failure without a reason; its log has it"


def status_error(status: Any) -> RemoteError:
    """The error that a metav1.Status describes."""
    if not isinstance(status, dict):
        return RemoteError(LOST)
    text = str(status.get("message") or status.get("reason") or LOST)
    return RemoteError(text, reason=str(status.get("reason") or ""), code=int(status.get("code") or 0))


def check(answer: Message) -> Any:
    """The content of an answer as plain data. Raises RemoteError when it says that it failed."""
    if answer.route.operation == "error":
        value = answer.value()
        raise RemoteError(value if isinstance(value, str) else LOST)
    try:
        value = answer.object()
    except msgspec.DecodeError:
        return answer.value()  # a text that is no JSON: `OK`
    if isinstance(value, dict):
        if not value:
            raise RemoteError(LOST)
        if "ErrStatus" in value:
            raise status_error(value["ErrStatus"])
        if value.get("kind") == "Status" and value.get("status") == "Failure":
            raise status_error(value)
    return value


def plain(answer: Message) -> Obj:
    """The object of a raw answer. Raises RemoteError."""
    value = check(answer)
    if not isinstance(value, dict):
        raise RemoteError(f"CloudCore answered {str(value)[:80]!r} where an object was due")
    return value


def wrapped(answer: Message) -> Obj:
    """The `Object` of an ObjectResp. Raises RemoteError."""
    value = plain(answer)
    error = value.get("Err")
    if isinstance(error, dict):
        raise status_error(error.get("ErrStatus"))
    found = value.get("Object")
    if not isinstance(found, dict):
        raise RemoteError(LOST)
    return found


def confirmed(answer: Message) -> None:
    """Accept `OK`. Raises RemoteError for anything else."""
    value = check(answer)
    if value != "OK":
        raise RemoteError(f"CloudCore answered {str(value)[:80]!r}")
