"""The authorizer as expressions of admission have it."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.admissionrequests import Operation
from edgelab.edgesite.apiserver.authorization import Attributes, Authorizer
from edgelab.edgesite.apiserver.cel import authorizing
from edgelab.edgesite.apiserver.context import User

Obj = dict[str, Any]


def authorizers(authorizer: Authorizer, operation: Operation) -> Obj:
    """`authorizer` and `authorizer.requestResource`."""

    def ask(account: tuple[str, str] | None, verb: str, **attributes: str) -> authorizing.Answer:
        user = operation.context.user if account is None else _service_account(*account)
        decision = authorizer.decide(user, Attributes(verb, **attributes))
        return authorizing.Answer(decision.allowed, decision.reason)

    found = authorizing.Authorizer(ask)
    kind = operation.kind
    asked = authorizing.ResourceCheck(
        found, kind.group, kind.plural, operation.subresource, operation.namespace, operation.name
    )
    return {"authorizer": found, "authorizer.requestResource": asked}


def _service_account(namespace: str, name: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return User(f"system:serviceaccount:{namespace}:{name}", groups)
