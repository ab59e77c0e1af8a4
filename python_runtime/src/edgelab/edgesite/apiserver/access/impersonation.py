"""Acting as somebody else by `Impersonate-*` headers (`apiserver/pkg/endpoints/filters/impersonation.go`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.authorization import Attributes, Authorizer
from edgelab.edgesite.apiserver.context import User

PREFIX = "impersonate-"
USER, GROUP, UID, EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
ACCOUNT = "system:serviceaccount:"
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
API = "authentication.k8s.io"


class Incomplete(Exception):
    """Headers that ask for a group, a uid or an extra of nobody; the text is the answer's."""


class _Asked(NamedTuple):
    """One thing that is asked for, in the terms of an ObjectReference."""

    kind: str
    namespace: str = ""
    name: str = ""
    field: str = ""

    def __str__(self) -> str:
        version = f"{API}/v1" if self.kind in ("UserExtra", "UID") else ""
        return "{" + " ".join((self.kind, self.namespace, self.name, "", version, "", self.field)) + "}"

    def attributes(self) -> Attributes:
        """What the one who asks must be allowed to do."""
        group = API if self.kind in ("UserExtra", "UID") else ""
        resource = {
            "ServiceAccount": "serviceaccounts",
            "User": "users",
            "Group": "groups",
            "UserExtra": "userextras",
            "UID": "uids",
        }[self.kind]
        return Attributes("impersonate", group, resource, self.field, self.namespace, self.name)


def impersonated(user: User, headers: CIMultiDictProxy[str], authorizer: Authorizer) -> User:
    """The user to act as: the one who asks, or whom the headers name. Raises ApiError 403, Incomplete."""
    if not any(name.lower().startswith(PREFIX) for name in headers):
        return user
    asked = list(_requests(headers))
    if not asked:
        return user
    if asked[0].kind not in ("User", "ServiceAccount"):
        items = " ".join(str(item) for item in asked)
        raise Incomplete(f"requested [{items}] without impersonating a user")
    for item in asked:
        authorizer.check(user, item.attributes())
    return _user(asked)


def _requests(headers: CIMultiDictProxy[str]) -> Iterator[_Asked]:
    name = _text(headers.get(USER, ""))
    if name:
        yield _identity(name)
    for group in headers.getall(GROUP, []):
        yield _Asked("Group", name=_text(group))
    for header in dict.fromkeys(key.lower() for key in headers):
        if header.startswith(EXTRA):
            for value in headers.getall(header):
                field = unquote(_text(header.removeprefix(EXTRA)))
                yield _Asked("UserExtra", name=_text(value), field=field)
    if headers.get(UID):
        yield _Asked("UID", name=_text(headers[UID]))


def _text(value: str) -> str:
    """A header as text, whatever bytes it has."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _identity(name: str) -> _Asked:
    namespace, colon, account = name.removeprefix(ACCOUNT).partition(":")
    is_account = (
        name.startswith(ACCOUNT) and colon and not names.label(namespace) and not names.subdomain(account)
    )
    return _Asked("ServiceAccount", namespace, account) if is_account else _Asked("User", name=name)


def _user(asked: list[_Asked]) -> User:
    first = asked[0]
    name, groups, uid = first.name, [item.name for item in asked if item.kind == "Group"], ""
    if first.kind == "ServiceAccount":
        name = f"{ACCOUNT}{first.namespace}:{first.name}"
        groups = groups or ["system:serviceaccounts", f"system:serviceaccounts:{first.namespace}"]
    extra: dict[str, tuple[str, ...]] = {}
    for item in asked:
        if item.kind == "UserExtra":
            extra[item.field] = (*extra.get(item.field, ()), item.name)
        elif item.kind == "UID":
            uid = item.name
    if name == "system:anonymous":
        groups += [] if UNAUTHENTICATED in groups else [UNAUTHENTICATED]
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return User(name, tuple(groups), uid, tuple(extra.items()))
