"""Kubernetes API errors as `metav1.Status` (apimachinery `pkg/api/errors`)."""

from __future__ import annotations

from typing import Any

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ApiError(Exception):
    """An API request that failed: HTTP `code`, machine-readable `reason`, `message`, `details`.

    `metadata` is the ListMeta of the Status: where a list can go on all the same.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = REASONS.get(code, "") if reason is None else reason
        self.message = message
        self.details = details
        self.metadata = metadata or {}

    @classmethod
    def from_status(cls, status: dict[str, Any]) -> ApiError:
        """The error that a `Status` object describes."""
        return cls(
            int(status.get("code") or 500),
            str(status.get("message") or status.get("reason") or "unknown error"),
            reason=str(status.get("reason") or ""),
            details=status.get("details"),
        )

    def status(self) -> dict[str, Any]:
        """The `Status` object for the response body."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


def not_found(plural: str, name: str, group: str = "") -> ApiError:
    """404 as kube-apiserver words it: `pods "x" not found`, `devices.devices.kubeedge.io "x" not found`."""
    qualified = f"{plural}.{group}" if group else plural
    details = {"name": name, **({"group": group} if group else {}), "kind": plural}
    shown = name if name.isprintable() else name.encode("unicode_escape").decode()
    return ApiError(404, f'{qualified} "{shown}" not found', details=details)


def already_exists(plural: str, name: str, group: str = "") -> ApiError:
    """409 with reason AlreadyExists."""
    qualified = f"{plural}.{group}" if group else plural
    details = {"name": name, **({"group": group} if group else {}), "kind": plural}
    return ApiError(409, f'{qualified} "{name}" already exists', reason="AlreadyExists", details=details)


def conflict(plural: str, name: str, why: str, group: str = "") -> ApiError:
    """409 with reason Conflict; `why` is the sentence after the colon."""
    qualified = f"{plural}.{group}" if group else plural
    details = {"name": name, **({"group": group} if group else {}), "kind": plural}
    return ApiError(409, f'Operation cannot be fulfilled on {qualified} "{name}": {why}', details=details)
