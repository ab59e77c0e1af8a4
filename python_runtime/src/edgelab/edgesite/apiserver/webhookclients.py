"""How a webhook is reached, and what is valid there (`apiserver/pkg/util/webhook/validation.go`)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import Cause, bad, required

Obj = dict[str, Any]

FORM = "; desired format: https://host[/path]"
PORT = 443
EITHER = "exactly one of url or service is required"


def client(config: Obj, path: str) -> list[Cause]:
    """A URL or a Service."""
    address, target = config.get("url"), config.get("service")
    if (address is None) == (target is None):
        return [required(path, EITHER)]
    return url(address, f"{path}.url") if address is not None else service(target or {}, f"{path}.service")


def url(text: str, path: str) -> list[Cause]:
    """ValidateWebhookURL."""
    parts = urlsplit(text)
    causes: list[Cause] = []
    if parts.scheme != "https":
        causes.append(bad(path, parts.scheme, f"'https' is the only allowed URL scheme{FORM}"))
    if not parts.netloc:
        causes.append(bad(path, parts.netloc, f"host must be specified{FORM}"))
    if "@" in parts.netloc:
        user = parts.netloc.rpartition("@")[0]
        causes.append(bad(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        causes.append(bad(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        causes.append(bad(path, parts.query, "query parameters are not permitted in the URL"))
    return causes


def service(found: Obj, path: str) -> list[Cause]:
    """ValidateWebhookService, which is handed name and namespace in the wrong order; so are its errors."""
    given = {"name": found.get("namespace"), "namespace": found.get("name")}
    causes = [required(f"{path}.{field}") for field, value in given.items() if not value]
    port = found.get("port", PORT)
    if not 1 <= port <= 65535:
        text = "port is not valid: must be between 1 and 65535, inclusive"
        causes.append(bad(f"{path}.port", port, text))
    return causes + _path(found.get("path") or "", f"{path}.path")


def _path(text: str, path: str) -> list[Cause]:
    if text in ("", "/"):
        return []
    if text == "//":
        return [bad(path, text, "segment[0] may not be empty")]
    causes = [] if text.startswith("/") else [bad(path, text, "must start with a '/'")]
    for position, step in enumerate(text[1:].removesuffix("/").split("/")):
        problems = names.subdomain(step) if step else ["may not be empty"]
        label = f"segment[{position}]" if not step else f"segment[{position}]:"
        causes += [bad(path, text, f"{label} {problem}") for problem in problems]
    return causes
