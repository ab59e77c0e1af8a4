"""What holds for every answer."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
from tests.edgesite.fuzzing.wire import Answer, Request

Obj = dict[str, Any]

# what kube-apiserver answers with 500 as well
KNOWN_500 = (
    "resourceVersion: Invalid value",
    "resourceVersion should not be set on objects to be created",
    'target.kind: Unsupported value: "',
    "target.name: Required value",
    "failed calling webhook",
    "unable to parse requirement",
    "failed to create typed patch object (",
    "must be a list",
    "unknown patch type: ",
)
REASONS = {
    400: {"BadRequest", "Invalid", "Expired"},
    401: {"Unauthorized"},
    403: {"Forbidden"},
    404: {"NotFound"},
    405: {"MethodNotAllowed"},
    406: {"NotAcceptable"},
    409: {"Conflict", "AlreadyExists"},
    410: {"Expired", "Gone"},
    413: {"RequestEntityTooLarge"},
    415: {"UnsupportedMediaType"},
    422: {"Invalid"},
    429: {"TooManyRequests"},
    500: {"InternalError", None},
    503: {"ServiceUnavailable"},
    504: {"Timeout"},
}
PLAIN = re.compile(r"404 page not found\n|ok|", re.DOTALL)


class Wrong(AssertionError):
    """An answer that no server may give."""


def check(request: Request, answer: Answer) -> None:
    """Raise Wrong unless the answer is one that a kube-apiserver could give."""
    found = answer.json()
    if answer.status >= 500 and not _known(answer.status, found):
        raise Wrong(f"{answer.status} {found!r:.600} to {request}")
    if request.method == "HEAD":
        return
    if answer.status >= 400:
        _check_status(request, answer, found)
    elif answer.status not in (200, 201, 202, 204):
        raise Wrong(f"{answer.status} to {request}")


def _known(code: int, found: Any) -> bool:
    message = str(found.get("message")) if isinstance(found, dict) else ""
    if code == 504:
        return message.startswith("Timeout: Too large resource version")
    return code == 500 and any(text in message for text in KNOWN_500)


def _check_status(request: Request, answer: Answer, found: Any) -> None:
    if isinstance(found, str) and not answer.headers.get("content-type", "").startswith("application/json"):
        return
    if not isinstance(found, dict) or found.get("kind") != "Status" or found.get("apiVersion") != "v1":
        raise Wrong(f"no Status: {answer.status} {found!r:.300} to {request}")
    if found.get("status") != "Failure" or found.get("code") != answer.status:
        raise Wrong(f"a Status of another code: {answer.status} {found!r:.300} to {request}")
    allowed = REASONS.get(answer.status, set())
    if found.get("reason") not in allowed:
        raise Wrong(f"a reason that does not fit {answer.status}: {found!r:.300} to {request}")


def _without_nulls(value: Any) -> Any:
    """Without what Go writes for an empty list or map."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


class Validator:
    """Checks objects against the schemas of a served document."""

    def __init__(self, schemas: Obj) -> None:
        self._schemas = {"components": {"schemas": schemas}}
        self._made: dict[str, Any] = {}

    def check(self, obj: Obj, schema: Obj) -> None:
        """Raise Wrong unless the object is valid."""
        key = json.dumps(schema, sort_keys=True)
        if key not in self._made:
            self._made[key] = jsonschema.Draft202012Validator({**self._schemas, **schema})
        for error in self._made[key].iter_errors(_without_nulls(obj)):
            if error.validator == "required":
                continue  # Go writes null for the empty list of a required field
            where = "/".join(str(part) for part in error.absolute_path)
            raise Wrong(f"served, but not valid by the served schema: {where}: {error.message:.300}")
