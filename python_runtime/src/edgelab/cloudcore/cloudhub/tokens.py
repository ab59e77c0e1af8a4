"""Join tokens for one node and one use: their records in the cluster, and how one is spent.

One Secret per token, `edgelab-join-<id>` in CloudCore's namespace, so that a thousand nodes that join at
once do not meet in one object. It holds the node's name, times and, once spent, the hash of the key that
was certified; never the token, which nobody can make from it.

Spending is one conditional update: the API server lets one of several CloudCores win. The same key may
come again for `REPEAT`, because the answer to the first request may have been lost.
"""

from __future__ import annotations

import base64
import datetime as dt
import logging
import secrets as random
from dataclasses import dataclass
from typing import Any

from edgelab.daemon.clock import SYSTEM, Clock, parse_rfc3339, rfc3339
from edgelab.identity import token
from edgelab.identity.ca import CertificateAuthority
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import SECRETS
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.tokens")

PREFIX = "edgelab-join-"
TYPE = "edgelab.io/join-token"
LABEL = "edgelab.io/join-token"
NODE_LABEL = "edgelab.io/node"
REPEAT = dt.timedelta(minutes=10)
"""For so long the request that spent a token may be repeated with the same key."""

KEPT = dt.timedelta(days=7)
"""For so long after its expiry a record stays, so that people can see what became of a token."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the cluster knows of a token. Times are UTC; `key` is the SHA-256 of the certified public key."""

    id: str
    node: str
    created: dt.datetime
    expires: dt.datetime
    used: dt.datetime | None = None
    revoked: dt.datetime | None = None
    key: str = ""

    def state(self, now: dt.datetime) -> str:
        """used, revoked, expired or outstanding."""
        if self.used is not None:
            return "used"
        if self.revoked is not None:
            return "revoked"
        return "expired" if now >= self.expires else "outstanding"

    def data(self) -> dict[str, str]:
        """The fields as the Secret holds them, before base64."""
        fields: dict[str, Any] = {"node": self.node, "key": self.key}
        times = {"created": self.created, "expires": self.expires, "used": self.used, "revoked": self.revoked}
        fields |= {name: rfc3339(moment) for name, moment in times.items() if moment is not None}
        return {name: value for name, value in fields.items() if value}


class TokenLedger:
    """The records of one cluster. Methods raise ApiError and Unreachable."""

    def __init__(self, api: KubeApi, namespace: str, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock

    async def mint(self, ca: CertificateAuthority, node: str, life: dt.timedelta) -> tuple[Record, str]:
        """Make a token for a node, and its record first: a token without a record is worth nothing."""
        now = self._clock.now().replace(microsecond=0)
        record = Record(random.token_hex(8), node, now, now + life)
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": TYPE,
            "metadata": {
                "name": PREFIX + record.id,
                "namespace": self._namespace,
                "labels": {LABEL: "true", NODE_LABEL: node},
            },
            "data": _encode(record),
        }
        await self._api.create(SECRETS, body, self._namespace)
        text = token.make(ca.cert_der, ca.key_der, record.expires, token_id=record.id, node=node)
        return record, text

    async def records(self, node: str = "") -> list[Record]:
        """All records, or those of one node; the oldest first."""
        selector = f"{LABEL}=true" + (f",{NODE_LABEL}={node}" if node else "")
        found = await self._api.list(SECRETS, self._namespace, label_selector=selector)
        records = [record for obj in found.items if (record := _decode(obj)) is not None]
        return sorted(records, key=lambda record: (record.created, record.id))

    async def spend(self, claims: token.Claims, node: str, key: str) -> None:
        """Use up the token for the certificate of this key. Raises TokenError that says why it is refused."""
        if claims.node != node:
            raise token.TokenError(f"the token is for node {claims.node!r}, not for {node!r}")
        secret = await self._read(claims.id)
        record = _decode(secret) if secret is not None else None
        if secret is None or record is None:
            raise token.TokenError(f"the token {claims.id} was revoked: the cluster has no record of it")
        if self._is_repeated(record, node, key):
            log.info("node %s repeats its enrolment with token %s and the same key", node, record.id)
            return
        now = self._clock.now()
        spent = Record(
            record.id, record.node, record.created, record.expires, now.replace(microsecond=0), None, key
        )
        try:
            await self._api.update(SECRETS, {**secret, "data": _encode(spent)}, self._namespace)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            await self._explain_lost_race(claims, node, key)

    async def _explain_lost_race(self, claims: token.Claims, node: str, key: str) -> None:
        """Another request was faster: fine when it was our own, repeated; else it is refused. TokenError."""
        secret = await self._read(claims.id)
        record = _decode(secret) if secret is not None else None
        if record is None or not self._is_repeated(record, node, key):
            raise token.TokenError(f"the token {claims.id} was used by another request at this moment")

    def _is_repeated(self, record: Record, node: str, key: str) -> bool:
        """Whether it was spent on this very key just now; False for an unspent one. Raises TokenError."""
        now = self._clock.now()
        if record.node != node:
            raise token.TokenError(f"the token {record.id} is for node {record.node!r}, not for {node!r}")
        if record.revoked is not None:
            raise token.TokenError(f"the token {record.id} was revoked at {rfc3339(record.revoked)}")
        if record.used is not None:
            if record.key == key and now - record.used <= REPEAT:
                return True
            raise token.TokenError(f"the token {record.id} was used at {rfc3339(record.used)} already")
        if now >= record.expires:
            raise token.TokenError(f"the token {record.id} expired at {rfc3339(record.expires)}")
        return False

    async def revoke(self, record: Record) -> bool:
        """Make an outstanding token worthless; False when there was nothing to revoke any more."""
        secret = await self._read(record.id)
        present = _decode(secret) if secret is not None else None
        now = self._clock.now()
        if secret is None or present is None or present.state(now) != "outstanding":
            return False
        revoked = Record(
            record.id, present.node, present.created, present.expires, revoked=now.replace(microsecond=0)
        )
        await self._api.update(SECRETS, {**secret, "data": _encode(revoked)}, self._namespace)
        return True

    async def prune(self) -> list[str]:
        """Delete records of tokens that ended long ago; their ids."""
        ended = [record for record in await self.records() if self._clock.now() >= record.expires + KEPT]
        for record in ended:
            try:
                await self._api.delete(SECRETS, PREFIX + record.id, self._namespace)
            except ApiError as error:
                if error.code != 404:
                    raise
        return [record.id for record in ended]

    async def _read(self, token_id: str) -> Obj | None:
        if not token_id.isalnum():
            return None
        try:
            return await self._api.get(SECRETS, PREFIX + token_id, self._namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise


def _encode(record: Record) -> dict[str, str]:
    return {name: base64.b64encode(value.encode()).decode() for name, value in record.data().items()}


def _decode(secret: Obj) -> Record | None:
    """The record in a Secret; None when it is none."""
    try:
        data = {k: base64.b64decode(v).decode() for k, v in (secret.get("data") or {}).items()}
        moments = {
            name: parse_rfc3339(data[name])
            for name in ("created", "expires", "used", "revoked")
            if name in data
        }
        name = str(secret["metadata"]["name"]).removeprefix(PREFIX)
        return Record(name, data["node"], key=data.get("key", ""), **moments)
    except (KeyError, TypeError, ValueError):
        return None
