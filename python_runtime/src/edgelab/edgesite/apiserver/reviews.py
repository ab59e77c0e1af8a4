"""Kinds that are questions: TokenReview, the access reviews, SelfSubjectReview."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgesite.apiserver.authentication import Authenticator, Unauthenticated
from edgelab.edgesite.apiserver.authorization import Attributes, Authorizer
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.apiserver.invalid import Cause, bad, invalid, required
from edgelab.edgesite.apiserver.refusals import no_such_path
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

GROUP = "authorization.k8s.io"
LABEL_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
SELECTORS = ("fieldSelector", "labelSelector")


class Reviews:
    """Answers them; nothing is stored."""

    def __init__(self, authenticator: Authenticator, authorizer: Authorizer, clock: Clock) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._clock = clock

    def answer(self, kind: str, namespace: str, body: Obj, user: User) -> Obj:
        """The object with its status. Raises ApiError."""
        answers: dict[str, Callable[[], Obj]] = {
            "TokenReview": lambda: self._token(body),
            "SelfSubjectReview": lambda: self._self(body, user),
            "SelfSubjectRulesReview": lambda: self._rules(body, user),
            "SelfSubjectAccessReview": lambda: self._access(body, user),
            "SubjectAccessReview": lambda: self._access(body, _subject(body)),
            "LocalSubjectAccessReview": lambda: self._local(body, namespace),
        }
        return answers[kind]()

    def _self(self, body: Obj, user: User) -> Obj:
        metadata = {"creationTimestamp": rfc3339(self._clock.now())}
        return {**body, "metadata": metadata, "status": {"userInfo": user_info(user)}}

    def _token(self, body: Obj) -> Obj:
        spec = body.get("spec") or {}
        if not spec.get("token"):
            raise ApiError(400, "token is required for TokenReview in authentication")
        status: Obj = {}
        try:
            user, audiences = self._authenticator.token(spec["token"], spec.get("audiences"))
        except Unauthenticated as error:
            status = {"user": {}, "error": error.why}
        else:
            status = {"authenticated": True, "user": user_info(user), "audiences": audiences}
        return {**body, "metadata": body.get("metadata") or {}, "status": status}

    def _local(self, body: Obj, namespace: str) -> Obj:
        if not namespace:
            raise no_such_path()
        metadata = body.setdefault("metadata", {})
        given = metadata.setdefault("namespace", namespace)
        if given != namespace:
            raise ApiError(
                400, "the namespace of the provided object does not match the namespace sent on the request"
            )
        return self._access(body, _subject(body))

    def _access(self, body: Obj, user: User) -> Obj:
        causes = _problems(body)
        if causes:
            refusal = invalid("", GROUP, "", causes)
            (refusal.details or {}).pop("kind", None)  # kube-apiserver knows it no more at this point
            raise refusal
        spec = body["spec"]
        wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes") or {}
        error = ""
        if wanted is not None:
            names = ("verb", "group", "resource", "subresource", "namespace", "name")
            selector, error = _selector(wanted)
            error = "; ".join(filter(None, (error, _label_error(wanted))))
            attributes = Attributes(**{key: wanted.get(key) or "" for key in names}, field_selector=selector)
        else:
            attributes = Attributes(verb=path.get("verb") or "", path=path.get("path") or "/")
        decision = self._authorizer.decide(user, attributes)
        status: Obj = {"allowed": decision.allowed}
        status |= {"reason": decision.reason} if decision.reason else {}
        status |= {"evaluationError": error} if error else {}
        return {**body, "metadata": body.get("metadata") or {}, "status": status}

    def _rules(self, body: Obj, user: User) -> Obj:
        namespace = (body.get("spec") or {}).get("namespace") or ""
        if not namespace:
            raise ApiError(400, "no namespace on request")
        rights = self._authorizer.rights(user, namespace)
        keys = ("verbs", "apiGroups", "resources", "resourceNames")
        status: Obj = {
            "resourceRules": [_cut(rule, keys) for rule in rights.rules if rule.get("resources")],
            "nonResourceRules": [
                _cut(rule, ("verbs", "nonResourceURLs"))
                for rule in rights.rules
                if rule.get("nonResourceURLs")
            ],
            "incomplete": rights.incomplete,
        }
        if rights.errors:
            errors = list(dict.fromkeys(rights.errors))
            status["evaluationError"] = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        return {
            "kind": body["kind"],
            "apiVersion": body["apiVersion"],
            "metadata": {},
            "spec": {},
            "status": status,
        }


def _cut(rule: Obj, keys: tuple[str, ...]) -> Obj:
    return {key: rule[key] for key in keys if rule.get(key)}


def _subject(body: Obj) -> User:
    spec = body.get("spec") or {}
    extra = tuple((key, tuple(values)) for key, values in (spec.get("extra") or {}).items())
    return User(spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "", extra)


def user_info(user: User) -> Obj:
    """A user as `UserInfo`."""
    info: Obj = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra}
    return info


def _problems(body: Obj) -> list[Cause]:
    """`pkg/apis/authorization/validation`."""
    spec = body.setdefault("spec", {})
    wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    local, own = body["kind"] == "LocalSubjectAccessReview", body["kind"] == "SelfSubjectAccessReview"
    shown = {"Path": (path or {}).get("path") or "", "Verb": (path or {}).get("verb") or ""}
    causes = []
    if wanted is not None and path is not None:
        text = "cannot be specified in combination with resourceAttributes"
        causes.append(bad("spec.nonResourceAttributes", shown, text))
    if wanted is None and path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(bad("spec.resourceAttributes", None, text))
    if not own and not spec.get("user") and not spec.get("groups"):
        causes.append(bad("spec.user", "", "at least one of user or group must be specified"))
    for name in SELECTORS:
        causes += _selector_problems((wanted or {}).get(name), f"spec.resourceAttributes.{name}")
    metadata = {key: value for key, value in (body.get("metadata") or {}).items() if key != "managedFields"}
    if local:
        namespace = metadata.pop("namespace", "")
        if wanted is not None and (wanted.get("namespace") or "") != namespace:
            field = "spec.resourceAttributes.namespace"
            causes.append(bad(field, wanted.get("namespace") or "", "must match metadata.namespace"))
        if path is not None:
            causes.append(bad("spec.nonResourceAttributes", shown, "disallowed on this kind of request"))
    if metadata:
        text = "must be empty except for namespace" if local else "must be empty"
        causes.append(bad("metadata", body["metadata"], text))
    return causes


def _selector_problems(selector: Obj | None, field: str) -> list[Cause]:
    if selector is None:
        return []
    raw, requirements = selector.get("rawSelector"), selector.get("requirements")
    if raw and requirements:
        return [bad(f"{field}.rawSelector", raw, "may not specified at the same time as requirements")]
    if not raw and not requirements:
        text = f"when {field} is specified, requirements or rawSelector is required"
        return [required(f"{field}.requirements", text)]
    return []


def _label_error(wanted: Obj) -> str:
    """What could not be understood of a label selector; nothing else is done with it."""
    items = (wanted.get("labelSelector") or {}).get("requirements") or []
    known = [item for item in items if item.get("operator") in LABEL_OPERATORS]
    if len(known) == len(items):
        return ""
    how = "partially ignored" if known else "ignored"
    return f"spec.resourceAttributes.labelSelector {how} due to parse error"


def _selector(wanted: Obj) -> tuple[str, str]:
    """A field selector as a list's request has it, and what could not be understood of it."""
    selector = wanted.get("fieldSelector") or {}
    if selector.get("rawSelector"):
        return selector["rawSelector"], ""
    parts, ignored = [], False
    for item in selector.get("requirements") or ():
        values, operator = list(item.get("values") or []), item.get("operator")
        if len(values) == 1 and operator in ("In", "NotIn"):
            parts.append(f"{item['key']}{'=' if operator == 'In' else '!='}{values[0]}")
        else:
            ignored = True
    how = "partially ignored" if parts else "ignored"
    error = f"spec.resourceAttributes.fieldSelector {how} due to parse error" if ignored else ""
    return ",".join(parts), error
