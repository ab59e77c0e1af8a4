"""Kinds that are questions: TokenReview, the access reviews, SelfSubjectReview."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver.authentication import Authenticator
from edgelab.edgesite.apiserver.authorization import Attributes, Authorizer
from edgelab.edgesite.apiserver.context import User
from edgelab.objects.status import ApiError

Obj = dict[str, Any]


class Reviews:
    """Answers them; nothing is stored."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer

    def answer(self, kind: str, namespace: str, body: Obj, user: User) -> Obj:
        """The object with its status. Raises ApiError."""
        answers: dict[str, Callable[[], Obj]] = {
            "TokenReview": lambda: self._token(body),
            "SelfSubjectReview": lambda: {"userInfo": _info(user)},
            "SelfSubjectRulesReview": lambda: self._rules(body, user),
            "SelfSubjectAccessReview": lambda: self._access(body, user, ""),
            "SubjectAccessReview": lambda: self._access(body, _subject(body), ""),
            "LocalSubjectAccessReview": lambda: self._access(body, _subject(body), namespace),
        }
        status = answers[kind]()
        return {**body, "metadata": body.get("metadata") or {}, "status": status}

    def _token(self, body: Obj) -> Obj:
        spec = body.get("spec") or {}
        try:
            user, audiences = self._authenticator.token(spec.get("token") or "", spec.get("audiences"))
        except ApiError:
            return {"user": {}, "error": "[invalid bearer token]"}
        return {"authenticated": True, "user": _info(user), "audiences": audiences}

    def _access(self, body: Obj, user: User, namespace: str) -> Obj:
        spec = body.get("spec") or {}
        wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if (wanted is None) == (path is None):
            raise ApiError(
                400, "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            )
        if wanted is not None:
            if namespace and wanted.get("namespace") != namespace:
                raise ApiError(400, "spec.resourceAttributes.namespace must match metadata.namespace")
            attributes = Attributes(
                verb=wanted.get("verb") or "",
                group=wanted.get("group") or "",
                resource=wanted.get("resource") or "",
                subresource=wanted.get("subresource") or "",
                namespace=wanted.get("namespace") or "",
                name=wanted.get("name") or "",
            )
        else:
            path = path or {}
            attributes = Attributes(verb=path.get("verb") or "", path=path.get("path") or "/")
        reason = self._authorizer.allows(user, attributes)
        return {"allowed": reason is not None, **({"reason": reason} if reason else {})}

    def _rules(self, body: Obj, user: User) -> Obj:
        rules = self._authorizer.rules(user, (body.get("spec") or {}).get("namespace") or "")
        return {
            "resourceRules": [rule for rule in rules if not rule.get("nonResourceURLs")],
            "nonResourceRules": [
                {"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]}
                for rule in rules
                if rule.get("nonResourceURLs")
            ],
            "incomplete": False,
        }


def _subject(body: Obj) -> User:
    spec = body.get("spec") or {}
    return User(spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "")


def _info(user: User) -> Obj:
    info: Obj = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra}
    return info
