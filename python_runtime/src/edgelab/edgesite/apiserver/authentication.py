"""Who is asking: client certificates, service account tokens, bootstrap tokens."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import ssl
import weakref
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from edgelab.daemon.clock import Clock
from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.access import bootstraptokens
from edgelab.edgesite.apiserver.boundobjects import Revoked, Validator
from edgelab.edgesite.apiserver.context import User
from edgelab.edgesite.apiserver.tokens import ISSUER, LEGACY_ISSUER, InvalidToken, Tokens
from edgelab.edgesite.store import Key, Store
from edgelab.identity.ca import CertificateAuthority
from edgelab.objects.status import ApiError

log = logging.getLogger("edgesite.authentication")

Obj = dict[str, Any]

AUTHENTICATED = "system:authenticated"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
CREDENTIAL = "authentication.kubernetes.io/credential-id"
INVALID = "invalid bearer token"


class Unauthenticated(ApiError):
    """401; `why` is for TokenReviews only: who is refused is not told the reason."""

    def __init__(self, why: str = INVALID) -> None:
        super().__init__(401, "Unauthorized")
        self.why = why


class Known(NamedTuple):
    """The user of a certificate, None if it is not good, and how long it is."""

    user: User | None
    until: dt.datetime


UNSEEN = Known(None, dt.datetime.min)
"""Stands for a connection that has not been looked at."""

Connections = weakref.WeakKeyDictionary[ssl.SSLObject, Known | None]


class Authenticator:
    """Turns credentials into users."""

    def __init__(self, store: Store, tokens: Tokens, clock: Clock, authority: CertificateAuthority) -> None:
        self._store = store
        self._tokens = tokens
        self._clock = clock
        self._validator = Validator(store, clock)
        self._authority = authority
        self._connections: weakref.WeakKeyDictionary[ssl.SSLObject, Known | None] = (
            weakref.WeakKeyDictionary()
        )

    def user(self, connection: ssl.SSLObject | None, authorization: str) -> User:
        """The user behind a connection's client certificate or an Authorization header; anonymous without
        either. Raises ApiError 401 for credentials that are wrong.
        """
        wrong = False
        if connection is not None:
            known = self._certificate(connection)
            if known is not None and known.user is not None and self._clock.now() <= known.until:
                return known.user
            wrong = known is not None
        parts = authorization.strip().split(" ", 2)
        if len(parts) < 2 or parts[0].lower() != "bearer" or not parts[1]:
            if wrong:
                raise Unauthenticated
            return ANONYMOUS
        user, _ = self.token(parts[1])
        return user

    def _certificate(self, connection: ssl.SSLObject) -> Known | None:
        """Whom a connection's certificate names, found out once; None without a certificate."""
        known = self._connections.get(connection, UNSEEN)
        if known is UNSEEN:
            der = connection.getpeercert(binary_form=True)
            known = self._connections[connection] = self._judged(der) if der else None
        return known

    def _judged(self, der: bytes) -> Known:
        try:
            certificate = self._authority.verify_client(der)
        except ValueError as error:
            log.info("a client certificate is refused: %s", error)
            return Known(None, self._clock.now())
        return Known(from_certificate(certificate, der), certificate.not_valid_after_utc)

    def token(self, token: str, audiences: list[str] | None = None) -> tuple[User, list[str]]:
        """The user of a bearer token, and which of the wanted audiences it is for. Raises Unauthenticated."""
        user = self._bootstrap(token)
        if user is not None:
            if audiences and ISSUER not in audiences:
                raise Unauthenticated
            return user, [ISSUER]
        try:
            claims = self._tokens.claims(token)
            held, wanted = claims.get("aud") or [ISSUER], audiences or [ISSUER]
            fitting = [item for item in wanted if item in held]
            if not fitting:
                raise InvalidToken(
                    f"token audiences {_quoted(held)} is invalid for the target audiences {_quoted(wanted)}"
                )
            return self._account(claims, token), fitting
        except (InvalidToken, Revoked) as error:
            raise Unauthenticated(f"[{INVALID}, {error}]" if str(error) else INVALID) from error

    def _account(self, claims: Obj, token: str) -> User:
        if claims["iss"] == LEGACY_ISSUER:
            account = self._validator.legacy(claims, token)
            extra: dict[str, str] = {}
        else:
            account, extra = self._validator.bound(claims)
            extra = {CREDENTIAL: f"JTI={claims['jti']}", **extra} if claims.get("jti") else extra
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account.namespace}", AUTHENTICATED)
        pairs = tuple((key, (value,)) for key, value in extra.items())
        return User(claims["sub"], groups, account.uid, pairs)

    def _bootstrap(self, token: str) -> User | None:
        """The user of a bootstrap token; None for anything else, also for one that has expired."""
        parts = bootstraptokens.parse(token)
        if parts is None:
            return None
        name = bootstraptokens.SECRET_PREFIX + parts[0]
        entry = self._store.get(Key("secrets", bootstraptokens.NAMESPACE, name))
        if entry is None:
            return None
        groups = bootstraptokens.groups(codec.decode(entry.data), *parts, self._clock.now())
        if groups is None:
            return None
        return User(f"system:bootstrap:{parts[0]}", (*groups, AUTHENTICATED))


def from_certificate(certificate: x509.Certificate, der: bytes) -> User | None:
    """The user that a verified certificate names, None for one without a name."""
    subject = certificate.subject
    names = [str(item.value) for item in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(item.value) for item in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if not names or not names[-1]:
        return None
    extra = ((CREDENTIAL, (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)),)
    return User(names[-1], (*groups, AUTHENTICATED), "", extra)


def _quoted(values: list[str]) -> str:
    return f"[{' '.join(codec.encode(value).decode() for value in values)}]"
