"""Requests on behalf of somebody else (Kubernetes `Impersonate-User`, `Impersonate-Group`).

Who acts belongs to the work that is done, as in Go's request contexts: what runs inside `acting_as`, and no
other task, sends these headers with every request of `HttpClient`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class _User(NamedTuple):
    name: str
    groups: tuple[str, ...]


_acting: ContextVar[_User | None] = ContextVar("edgelab_acting", default=None)


@contextmanager
def acting_as(user: str, groups: tuple[str, ...] = ()) -> Iterator[None]:
    """Send the requests that are made inside as `user` of `groups`; who really asks must be allowed to."""
    token = _acting.set(_User(user, groups))
    try:
        yield
    finally:
        _acting.reset(token)


@contextmanager
def acting_as_oneself() -> Iterator[None]:
    """Send the requests that are made inside with this process's own rights again."""
    token = _acting.set(None)
    try:
        yield
    finally:
        _acting.reset(token)


def is_acting() -> bool:
    """Whether requests that are made now are somebody else's."""
    return _acting.get() is not None


def headers() -> list[tuple[str, str]]:
    """The headers of a request that is made now; none when nobody is acted for."""
    user = _acting.get()
    if user is None:
        return []
    return [("Impersonate-User", user.name), *(("Impersonate-Group", group) for group in user.groups)]
