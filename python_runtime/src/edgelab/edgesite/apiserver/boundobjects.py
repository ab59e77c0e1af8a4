"""What a service account's token may be bound to, and whether that is still there
(`pkg/registry/core/serviceaccount/storage/token.go`, `pkg/serviceaccount/claims.go`, `legacy.go`).
"""

from __future__ import annotations

import base64
import datetime as dt
import hmac
from typing import Any, NamedTuple

from edgelab.daemon.clock import Clock, parse_rfc3339
from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.store import Key, Store
from edgelab.objects.status import ApiError, conflict

Obj = dict[str, Any]

PLURALS = {"Pod": "pods", "Secret": "secrets", "Node": "nodes"}
LEEWAY = dt.timedelta(seconds=60)
INVALIDATED = "service account token has been invalidated"
LEGACY = "kubernetes.io/serviceaccount"
TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 - a type of Secret
EXTRA = "authentication.kubernetes.io"


def claim(registry: Registry, account: Obj, reference: Obj | None) -> Obj:
    """The claims that bind a token of an account to the object of a `boundObjectRef`, by their names;
    empty without a reference. Raises ApiError 400 for a kind that nothing can be bound to, 404 for
    a missing object, 409 when it is another object of that name.
    """
    if reference is None:
        return {}
    version, name = reference.get("apiVersion") or "", reference.get("name") or ""
    group, _, number = version.rpartition("/")
    plural = PLURALS.get(reference.get("kind") or "")
    kind = None if group or plural is None else registry.kinds.find("", "v1", plural)
    if kind is None:
        asked = f"{group}/{number}, Kind={reference.get('kind') or ''}"
        raise ApiError(400, f"cannot bind token to object of type {asked}")
    found = codec.decode(registry.get(kind, account["metadata"]["namespace"], name).data)
    own, uid = account["metadata"]["name"], reference.get("uid")
    if kind.name == "Pod" and ((found.get("spec") or {}).get("serviceAccountName") or "default") != own:
        raise ApiError(
            400,
            f'cannot bind token for serviceaccount "{own}" to pod running with different serviceaccount'
            " name.",
        )
    if uid and uid != found["metadata"]["uid"]:
        raise conflict(
            kind.name,
            name,
            f"the UID in the bound object reference ({uid}) does not match the UID in record."
            " The object might have been deleted and then recreated",
        )
    claims: Obj = {kind.name.lower(): {"name": name, "uid": found["metadata"]["uid"]}}
    node = (found.get("spec") or {}).get("nodeName") if kind.name == "Pod" else None
    if node:
        entry = registry.store.get(Key("nodes", "", node))
        known = {"uid": codec.decode(entry.data)["metadata"]["uid"]} if entry is not None else {}
        claims["node"] = {"name": node, **known}
    return claims


class Revoked(Exception):
    """The token was good once; the text says what is gone."""


class Account(NamedTuple):
    """Whose token it is."""

    namespace: str
    name: str
    uid: str


class Validator:
    """Looks up what tokens claim."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def bound(self, claims: Obj) -> tuple[Account, dict[str, str]]:
        """The account of a token of TokenRequest, and what its user is told of. Raises Revoked."""
        ours = claims.get("kubernetes.io") or {}
        reference = ours.get("serviceaccount") or {}
        account = Account(
            ours.get("namespace") or "", reference.get("name") or "", reference.get("uid") or ""
        )
        self._account(account)
        secret, pod, node = ours.get("secret"), ours.get("pod"), ours.get("node")
        extra: dict[str, str] = {}
        if secret is not None:
            self._object(Key("secrets", account.namespace, secret["name"]), secret["uid"], "secret")
        if pod is not None:
            self._object(Key("pods", account.namespace, pod["name"]), pod["uid"], "pod")
            extra |= {f"{EXTRA}/pod-name": pod["name"], f"{EXTRA}/pod-uid": pod["uid"]}
        elif node is not None:
            self._object(Key("nodes", "", node["name"]), node["uid"], "node")
        if node is not None:
            extra[f"{EXTRA}/node-name"] = node["name"]
            if node.get("uid"):
                extra[f"{EXTRA}/node-uid"] = node["uid"]
        return account, extra

    def legacy(self, claims: Obj, token: str) -> Account:
        """The account of a token that lies in a Secret. Raises Revoked."""
        namespace, name = claims.get(f"{LEGACY}/namespace") or "", claims.get(f"{LEGACY}/secret.name") or ""
        account = Account(
            namespace,
            claims.get(f"{LEGACY}/service-account.name") or "",
            claims.get(f"{LEGACY}/service-account.uid") or "",
        )
        entry = self._store.get(Key("secrets", namespace, name))
        if entry is None:
            raise Revoked("Token has been invalidated")
        secret = codec.decode(entry.data)
        if secret["metadata"].get("deletionTimestamp"):
            raise Revoked("Token has been invalidated")
        held = base64.b64decode((secret.get("data") or {}).get("token") or "")
        if secret.get("type") != TOKEN_TYPE or not hmac.compare_digest(held, token.encode()):
            raise Revoked("Token does not match server's copy")
        self._account(account)
        return account

    def _account(self, account: Account) -> None:
        entry = self._store.get(Key("serviceaccounts", account.namespace, account.name))
        if entry is None:
            raise Revoked(f'serviceaccounts "{account.name}" not found')
        metadata = codec.decode(entry.data)["metadata"]
        if metadata["uid"] != account.uid:
            raise Revoked(f"service account UID ({metadata['uid']}) does not match claim ({account.uid})")
        if self._deleted(metadata):
            raise Revoked(f"service account {account.namespace}/{account.name} has been deleted")

    def _object(self, key: Key, uid: str, what: str) -> None:
        entry = self._store.get(key)
        if entry is None:
            raise Revoked(INVALIDATED)
        metadata = codec.decode(entry.data)["metadata"]
        if metadata["uid"] != uid:
            text = f"{what} UID ({metadata['uid']}) does not match service account {what} ref claim ({uid})"
            raise Revoked(text)
        if self._deleted(metadata):
            raise Revoked(INVALIDATED)

    def _deleted(self, metadata: Obj) -> bool:
        """Whether its deletion began long enough ago."""
        moment: str | None = metadata.get("deletionTimestamp")
        return moment is not None and parse_rfc3339(moment) < self._clock.now() - LEEWAY
