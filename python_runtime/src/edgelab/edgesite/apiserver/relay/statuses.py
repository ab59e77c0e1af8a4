"""How a command ended, as it stands in the error stream (`client-go/tools/remotecommand`)."""

from __future__ import annotations

import json
from typing import Any

from edgelab.edgesite.apiserver.invalid import quote

Obj = dict[str, Any]

SUCCESS: Obj = {"metadata": {}, "status": "Success"}
EXIT_REASON, EXIT_CAUSE = "NonZeroExitCode", "ExitCode"
PROTOCOL = "error stream protocol error"


class Failed(Exception):
    """It could not be run, or nobody knows how it ended."""


def failure(text: str) -> Obj:
    """`NewInternalError`."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {text}",
        "reason": "InternalError",
        "details": {"causes": [{"message": text}]},
        "code": 500,
    }


def given(text: str) -> Obj | None:
    """A Status that a server answered with instead of switching protocols."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("kind") != "Status":
        return None
    return {"metadata": {}} | {
        key: value for key, value in found.items() if key not in ("kind", "apiVersion")
    }


def ended(message: bytes, protocol: str) -> Obj:
    """The Status for the client, out of the kubelet's error stream. Raises Failed."""
    if not message:
        return SUCCESS
    text = message.decode(errors="replace")
    if protocol != "v4.channel.k8s.io":
        raise Failed(f"error executing remote command: {text}")
    try:
        found = json.loads(message)
    except ValueError as error:
        raise Failed(f"{PROTOCOL}: {error} in {quote(text)}") from error
    state = found.get("status") if isinstance(found, dict) else None
    if state == "Success":
        return SUCCESS
    if state != "Failure":
        raise Failed(f"{PROTOCOL}: unknown error")
    if found.get("reason") != EXIT_REASON:
        raise Failed(str(found.get("message") or ""))
    return _exit(found.get("details"))


def _exit(details: Obj | None) -> Obj:
    if not details:
        raise Failed(f"{PROTOCOL}: details must be set")
    for cause in details.get("causes") or ():
        if cause.get("reason") == EXIT_CAUSE:
            code = str(cause.get("message") or "")
            if not (code.isascii() and code.isdecimal() and int(code) < 256):
                raise Failed(f"{PROTOCOL}: invalid exit code value {quote(code)}")
            words = f"command terminated with non-zero exit code: command terminated with exit code {code}"
            return {
                "metadata": {},
                "status": "Failure",
                "message": words,
                "reason": EXIT_REASON,
                "details": {"causes": [{"reason": EXIT_CAUSE, "message": code}]},
            }
    raise Failed(f"{PROTOCOL}: no {EXIT_CAUSE} cause given")
