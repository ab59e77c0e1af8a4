"""Who is asking: client certificates, service account tokens, bootstrap tokens, impersonation."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import Any

from edgelab.daemon.clock import Clock, parse_rfc3339
from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.apiserver.tokens import ISSUER, InvalidToken, Tokens
from edgelab.edgesite.store import Key, Store
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

AUTHENTICATED = "system:authenticated"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
BOOTSTRAP_TYPE = "bootstrap.kubernetes.io/token"


class Authenticator:
    """Turns credentials into users."""

    def __init__(self, store: Store, tokens: Tokens, clock: Clock) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock

    def user(self, certificate: Mapping[str, Any] | None, authorization: str) -> User:
        """The user behind a verified client certificate (as `ssl` describes it) or an Authorization
        header; anonymous without either. Raises ApiError 401 for credentials that are wrong.
        """
        if certificate:
            return _from_certificate(certificate)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return ANONYMOUS
        user, _ = self.token(token.strip())
        return user

    def token(self, token: str, audiences: list[str] | None = None) -> tuple[User, list[str]]:
        """The user of a bearer token, and which of the wanted audiences it is for. Raises ApiError 401."""
        user = self._bootstrap(token)
        if user is not None:
            return user, audiences or [ISSUER]
        try:
            claims = self._tokens.claims(token)
        except InvalidToken as error:
            raise unauthorized() from error
        fitting = [item for item in audiences or [ISSUER] if item in claims.get("aud", ())]
        if not fitting:
            raise unauthorized()
        return self._account(claims), fitting

    def _account(self, claims: Obj) -> User:
        ours = claims.get("kubernetes.io") or {}
        namespace, account = ours.get("namespace", ""), ours.get("serviceaccount") or {}
        self._must_exist(Key("serviceaccounts", namespace, account.get("name", "")), account.get("uid"))
        extra: list[tuple[str, tuple[str, ...]]] = []
        pod = ours.get("pod")
        if pod is not None:
            self._must_exist(Key("pods", namespace, pod["name"]), pod["uid"])
            extra = [
                ("authentication.kubernetes.io/pod-name", (pod["name"],)),
                ("authentication.kubernetes.io/pod-uid", (pod["uid"],)),
            ]
        for name, bucket, space in (("secret", "secrets", namespace), ("node", "nodes", "")):
            bound = ours.get(name)
            if bound is not None:
                self._must_exist(Key(bucket, space, bound["name"]), bound["uid"])
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
        return User(claims["sub"], groups, account.get("uid", ""), tuple(extra))

    def _must_exist(self, key: Key, uid: str | None) -> None:
        entry = self._store.get(key)
        if entry is None or codec.decode(entry.data)["metadata"]["uid"] != uid:
            raise unauthorized()

    def _bootstrap(self, token: str) -> User | None:
        """Bootstrap tokens: `id.secret` in a Secret of kube-system (KEP: kubeadm join)."""
        identifier, _, secret = token.partition(".")
        entry = self._store.get(Key("secrets", "kube-system", f"bootstrap-token-{identifier}"))
        if entry is None:
            return None
        found = codec.decode(entry.data)
        data = {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}
        right = hmac.compare_digest(data.get("token-secret", "").encode(), secret.encode())
        expiry = data.get("expiration")
        expired = bool(expiry) and parse_rfc3339(expiry or "") <= self._clock.now()
        if found.get("type") != BOOTSTRAP_TYPE or not right or expired:
            raise unauthorized()
        if data.get("usage-bootstrap-authentication") != "true":
            raise unauthorized()
        groups = [group for group in data.get("auth-extra-groups", "").split(",") if group]
        return User(f"system:bootstrap:{identifier}", ("system:bootstrappers", *groups, AUTHENTICATED))


def unauthorized() -> ApiError:
    """401 as kube-apiserver words it."""
    return ApiError(401, "Unauthorized")


def _from_certificate(certificate: Mapping[str, Any]) -> User:
    names: list[str] = []
    groups: list[str] = []
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                names.append(value)
            elif key == "organizationName":
                groups.append(value)
    if not names:
        raise unauthorized()
    return User(names[-1], (*groups, AUTHENTICATED))
