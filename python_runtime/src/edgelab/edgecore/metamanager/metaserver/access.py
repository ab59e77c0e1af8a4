"""Who may ask this node's MetaServer what, when it requires authorization.

Tokens of ServiceAccounts are checked by their claims, and by the keys of serviceAccountKeyFiles; without key
files a token is good that this node itself got for a pod. What a ServiceAccount may do CloudCore's
PolicyController has told (`<namespace>/serviceaccountaccess/<name>` in `meta`). Anonymous clients see
discovery only.
Facts: KubeEdge `edge/pkg/metamanager/metaserver/auth` (docs/reference/metaserver.md).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Unreachable
from edgelab.edgecore.children import identity
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.metamanager.metaserver import media, targets
from edgelab.edgecore.metamanager.metaserver.discovery import is_document
from edgelab.edgecore.metamanager.metaserver.http import Request, Response
from edgelab.edgecore.store import Store
from edgelab.objects.status import ApiError
from edgelab.settings.edgecore import MetaServer as Settings

PREFIX = "system:serviceaccount:"
KNOWN = 256
"""Tokens whose signature is remembered as good."""
IS_STORED = (
    "SELECT 1 FROM meta WHERE type = 'serviceaccounttoken' AND json_valid(value)"
    " AND json_extract(value, '$.status.token') = ? LIMIT 1"
)


class User(NamedTuple):
    """A ServiceAccount."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{PREFIX}{self.namespace}:{self.name}"


class Access:
    """Stands in front of the API: `handle` answers 401 and 403 itself."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        handler: Callable[[Request], Awaitable[Response]],
    ) -> None:
        self._issuers = settings.serviceAccountIssuers
        self._audiences = settings.apiAudiences or settings.serviceAccountIssuers
        self._key_files = settings.serviceAccountKeyFiles or []
        self._store = store
        self._clock = clock
        self._handler = handler
        self._verified: OrderedDict[str, None] = OrderedDict()

    async def handle(self, request: Request) -> Response:
        """The answer, if the client may have it."""
        try:
            user = await self.user(request.headers.get("authorization", ""))
            self.check(user, request)
        except ApiError as error:
            return media.failure(error)
        return await self._handler(request)

    async def user(self, header: str) -> User | None:
        """Whose token it is; None without one. Raises ApiError (401)."""
        if not header:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _unauthorized("MetaServer takes bearer tokens")
        user = self._claimed(token)
        await self._check_origin(token)
        return user

    def check(self, user: User | None, request: Request) -> None:
        """May the user do this? Raises ApiError (403)."""
        if is_document(request.path.rstrip("/")) and request.method in ("GET", "HEAD"):
            return
        target = targets.read(request)
        shown = str(user) if user else "system:anonymous"
        rules = self._rules(user, target.key.namespace) if target and user else []
        if target is not None and any(allows(rule, target) for rule in rules):
            return
        what = f"{target.verb} {target.key.resource}" if target else f"{request.method} {request.path}"
        why = f'User "{shown}" cannot {what}: no rule that CloudCore told this node allows it'
        raise ApiError(403, why)

    def _claimed(self, token: str) -> User:
        try:
            payload = token.split(".")[1]
            claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
            issuer, subject = str(claims["iss"]), str(claims["sub"])
            begins, ends = float(claims.get("nbf") or 0), float(claims["exp"])
            account = (claims.get("kubernetes.io") or {}).get("serviceaccount") or {}
            namespace, name = subject.removeprefix(PREFIX).split(":")
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
            raise _unauthorized(f"this is no token of a ServiceAccount: {error}") from None
        now = self._clock.now().timestamp()
        if issuer not in self._issuers:
            raise _unauthorized(f"the token's issuer {issuer!r} is none of serviceAccountIssuers")
        if not set(audiences).intersection(self._audiences):
            raise _unauthorized(f"the token is for {audiences}, not for {self._audiences}")
        if not begins <= now < ends:
            raise _unauthorized("the token is not valid at this time")
        if not subject.startswith(PREFIX):
            raise _unauthorized(f"{subject!r} is no ServiceAccount")
        return User(namespace, name, str(account.get("uid") or ""))

    async def _check_origin(self, token: str) -> None:
        if not self._key_files:
            if not self._store.read(IS_STORED, (token,)):
                raise _unauthorized("the token was not made for a pod of this node")
            return
        digest = hashlib.sha256(token.encode()).hexdigest()
        if digest not in self._verified:
            files = [part for path in self._key_files for part in ("--key-file", path)]
            try:
                await identity("verify", *files, standard_input=token)
            except Unreachable as error:
                raise _unauthorized(str(error)) from None
            self._verified[digest] = None
            while len(self._verified) > KNOWN:
                self._verified.popitem(last=False)

    def _rules(self, user: User, namespace: str) -> list[dict[str, Any]]:
        """What the user may do in a namespace, by the stored ServiceAccountAccess."""
        data = rows.value(self._store, f"{user.namespace}/serviceaccountaccess/{user.name}")
        spec = (msgspec.json.decode(data) if data else {}).get("spec") or {}
        if user.uid and spec.get("serviceAccountUid") not in (None, "", user.uid):
            return []  # an account of that name, made again
        rules: list[dict[str, Any]] = []
        for access in spec.get("accessClusterRoleBinding") or []:
            rules += access.get("rules") or []
        for access in spec.get("accessRoleBinding") or []:
            binding = (access.get("roleBinding") or {}).get("metadata") or {}
            if namespace and binding.get("namespace") == namespace:
                rules += access.get("rules") or []
        return rules


def allows(rule: dict[str, Any], target: targets.Target) -> bool:
    """Whether a PolicyRule allows a request (Kubernetes `pkg/registry/rbac/validation`)."""
    key, sub = target.key, target.subresource
    verb = {"updatestatus": "update"}.get(target.verb, target.verb)
    whole = f"{key.resource}/{sub}" if sub else key.resource
    wanted = {"*", whole, *({f"*/{sub}"} if sub else ())}
    names = rule.get("resourceNames") or []
    return (
        not {"*", verb}.isdisjoint(rule.get("verbs") or [])
        and not {"*", key.group}.isdisjoint(rule.get("apiGroups") or [])
        and not wanted.isdisjoint(rule.get("resources") or [])
        and (not names or key.name in names)
    )


def _unauthorized(why: str) -> ApiError:
    return ApiError(401, f"Unauthorized: {why}")
