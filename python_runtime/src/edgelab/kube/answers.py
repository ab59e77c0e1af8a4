"""What all clients of the Kubernetes API ask for and read alike."""

from __future__ import annotations

import random
import socket
from typing import Any

import msgspec

from edgelab.daemon.sockets import keep_alive
from edgelab.kube.interface import ObjectList, Resource
from edgelab.objects.status import ApiError

WATCH_SECONDS = (300, 600)
"""The server is asked to end a watch after a random time in between, as client-go does."""


def selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    """Parameters of a list."""
    pairs = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in pairs.items() if value}


def watch_parameters(
    seconds: int, resource_version: str, label_selector: str, field_selector: str
) -> dict[str, str]:
    """Parameters of a watch that the server ends after so many seconds."""
    params = selectors(label_selector, field_selector)
    params |= {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
    if resource_version:
        params["resourceVersion"] = resource_version
    return params


def watch_seconds() -> int:
    """How long a watch is to last."""
    return random.randint(*WATCH_SECONDS)  # noqa: S311 - spread, not secrecy


def object_list(resource: Resource, body: dict[str, Any]) -> ObjectList:
    """The answer to a list; its items do not say what they are, and get that."""
    items: list[dict[str, Any]] = body.get("items") or []
    for item in items:
        item.setdefault("kind", resource.kind)
        item.setdefault("apiVersion", resource.api_version)
    return ObjectList(items, (body.get("metadata") or {}).get("resourceVersion", ""))


def failure(code: int, data: bytes) -> ApiError:
    """The error in an answer; what is no Status (a proxy's page) is quoted by its first line."""
    try:
        status = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return ApiError.from_status({"code": code, **status})
    text = data[:200].decode("utf-8", "replace").strip()
    return ApiError(code, text.splitlines()[0] if text else f"the server answered {code}")


def watch_over(sock: socket.socket) -> None:
    """Let the kernel find out within half a minute that the silent server of a watch is gone."""
    keep_alive(sock, 15, 5, 3)
