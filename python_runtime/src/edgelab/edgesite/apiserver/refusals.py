"""What kube-apiserver says of paths that it does not serve, and of methods that a path does not have."""

from __future__ import annotations

from edgelab.objects.status import ApiError

NOT_FOUND = "the server could not find the requested resource"
NOT_ALLOWED = "the server does not allow this method on the requested resource"


def no_such_path() -> ApiError:
    """404 for a path that is none."""
    return ApiError(404, NOT_FOUND, details={})


def not_allowed() -> ApiError:
    """405 for a method that a path does not have."""
    return ApiError(405, NOT_ALLOWED, details={})
