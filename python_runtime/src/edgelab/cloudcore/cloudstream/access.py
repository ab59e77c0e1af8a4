"""Who may use the stream server: it leads into every container of every node, so it asks as a kubelet does.

Who: a client certificate that TLS has verified against the authorities of the cluster's clients, or a bearer
token that the API server knows (TokenReview). May: what SubjectAccessReview says of `nodes/proxy` and its
like, for the node that is asked. Keeps: answers for a while, `KNOWN` at most. Without the API: refused.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi
from edgelab.kube.resources import CONFIG_MAPS, SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.cloudstream")

KNOWN = 4096
ALLOWED_SECONDS, DENIED_SECONDS, TOKEN_SECONDS = 300.0, 30.0, 120.0
"""As kubelets believe them (`authorization.webhook`, `authentication.webhook`)."""
SHARED = ("kube-system", "extension-apiserver-authentication", "client-ca-file")
"""Namespace, ConfigMap and key where the API server publishes who signs its clients' certificates."""


K = TypeVar("K")
V = TypeVar("V")


class _Kept(Generic[K, V]):
    """Answers that are believed for a while, `KNOWN` at most."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def __contains__(self, key: K) -> bool:
        return key in self._known and self._known[key][1] > self._clock.monotonic()

    def __getitem__(self, key: K) -> V:
        return self._known[key][0]

    def put(self, key: K, value: V, seconds: float) -> None:
        """Keep it so long; the oldest goes when there are too many."""
        self._known[key] = (value, self._clock.monotonic() + seconds)
        self._known.move_to_end(key)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)


class User(NamedTuple):
    """Who asks."""

    name: str
    groups: tuple[str, ...]


class Denied(Exception):
    """The request is not carried out; `status` is 401, 403 or 500."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Access:
    """Decides. `check` raises Denied."""

    def __init__(self, api: KubeApi, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._clock = clock
        self._users: _Kept[bytes, User | None] = _Kept(clock)
        self._answers: _Kept[tuple[User, str, str, str], str | None] = _Kept(clock)

    async def check(
        self,
        certificate: Mapping[str, Any] | None,
        authorization: str,
        *,
        verb: str,
        resource: str,
        node: str,
    ) -> User:
        """Who it is that may do `verb` to `nodes/<resource>` of the node. Raises Denied."""
        try:
            user = user_of(certificate) if certificate else await self._bearer(authorization)
            if user is None:
                raise Denied(
                    401, "Unauthorized: neither a certificate of the cluster nor a token that it knows"
                )
            why = await self._decide(user, verb, resource, node)
        except (ApiError, Unreachable) as error:
            raise Denied(500, f"the API server cannot be asked who may do this: {error}") from None
        if why is not None:
            raise Denied(
                403, f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource={resource}){why}"
            )
        return user

    async def _bearer(self, authorization: str) -> User | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        key = hashlib.sha256(token.strip().encode()).digest()
        if key in self._users:
            return self._users[key]
        made = await self._api.create(TOKEN_REVIEWS, {"spec": {"token": token.strip()}})
        status = made.get("status") or {}
        found = status.get("user") or {}
        user = User(found.get("username", ""), tuple(found.get("groups") or ()))
        known = user if status.get("authenticated") and user.name else None
        self._users.put(key, known, TOKEN_SECONDS if known else DENIED_SECONDS)
        return known

    async def _decide(self, user: User, verb: str, resource: str, node: str) -> str | None:
        """None when it is allowed, else why it is not."""
        question = (user, verb, resource, node)
        if question in self._answers:
            return self._answers[question]
        attributes = {
            "verb": verb,
            "version": "v1",
            "resource": "nodes",
            "subresource": resource,
            "name": node,
        }
        groups = [*user.groups, "system:authenticated"]
        body = {"spec": {"user": user.name, "groups": groups, "resourceAttributes": attributes}}
        status = (await self._api.create(SUBJECT_ACCESS_REVIEWS, body)).get("status") or {}
        if status.get("allowed"):
            self._answers.put(question, None, ALLOWED_SECONDS)
            return None
        why = f": {status['reason']}" if status.get("reason") else ""
        self._answers.put(question, why, DENIED_SECONDS)
        return why


def user_of(certificate: Mapping[str, Any]) -> User | None:
    """CN and O of what `SSLSocket.getpeercert()` gives, as in Kubernetes."""
    pairs = [pair for part in certificate.get("subject") or () for pair in part]
    name = next((value for key, value in pairs if key == "commonName"), "")
    groups = tuple(value for key, value in pairs if key == "organizationName")
    return User(name, groups) if name else None


async def client_authorities(api: KubeApi, kube_ca: bytes | None, extra: str) -> str:
    """PEM of those who sign the certificates of the cluster's clients.

    Those that the API server publishes, else the authority of its own certificate, which kubeadm and EdgeSite
    use for both; and those of `extra`, PEM. Raises ApiError and Unreachable.
    """
    found = [extra] if extra else []
    namespace, name, key = SHARED
    try:
        data = (await api.get(CONFIG_MAPS, name, namespace)).get("data") or {}
    except ApiError as error:
        if error.code not in (403, 404):
            raise
        data = {}
    if data.get(key):
        found.append(data[key])
    elif kube_ca:
        found.append(kube_ca.decode("ascii"))
    if not found:
        log.warning(
            "nobody is known who signs certificates of the cluster's clients: only tokens open streams"
        )
    return "\n".join(found)
