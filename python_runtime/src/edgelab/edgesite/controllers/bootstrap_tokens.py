"""Bootstrap tokens: signatures of `cluster-info`, and their end (`pkg/controller/bootstrap`).

Receives Secrets of type `bootstrap.kubernetes.io/token` in kube-system and the config map `cluster-info`
in kube-public. Who joins knows a token and nothing else: it reads the map without being known and trusts
it for its signature by that token (RFC 7515, appendix F). Expired tokens are deleted.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac

import msgspec

from edgelab.edgesite.apiserver.access import bootstraptokens as tokens
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.workqueue import Synced, WorkQueue
from edgelab.kube.informer import DELETED, Informer, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import CONFIG_MAPS, SECRETS
from edgelab.objects.status import ApiError

PUBLIC, CLUSTER_INFO, KUBECONFIG = "kube-public", "cluster-info", "kubeconfig"
SIGNATURE = "jws-kubeconfig-"
SIGNING = ("sign", "")
"""The key in the queue that stands for the map; all others are Secrets'."""


class BootstrapTokenController:
    """A module."""

    name = "bootstrap-token-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._secrets = Informer(
            cluster.api, SECRETS, tokens.NAMESPACE, field_selector=f"type={tokens.TYPE}", clock=cluster.clock
        )
        self._maps = cluster.view(CONFIG_MAPS)
        needs: list[Synced] = [self._secrets, self._maps]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._secrets.add_handler(self._on_secret)
        self._maps.add_handler(self._on_map)

    async def run(self) -> None:
        """Keep signatures and tokens."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._secrets.run(), name="informer/secrets")
            group.create_task(self._queue.run(), name=self.name)

    def _on_secret(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if new.get("type") == tokens.TYPE and new["metadata"]["namespace"] == tokens.NAMESPACE:
            self._queue.add(SIGNING)
            if event_type != DELETED:
                self._queue.add_object(new)

    def _on_map(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if (new["metadata"]["namespace"], new["metadata"]["name"]) == (PUBLIC, CLUSTER_INFO):
            self._queue.add(SIGNING)

    async def _reconcile(self, key: Key) -> float | None:
        if key == SIGNING:
            await self._sign()
            return None
        return await self._expire(key)

    async def _expire(self, key: Key) -> float | None:
        """Delete an expired token; the seconds until it will have."""
        secret = self._secrets.store.get(key)
        if secret is None or secret.get("type") != tokens.TYPE:
            return None
        left = tokens.remaining(secret, self._cluster.clock.now())
        if left is None or left > 0:
            return left
        options = {"preconditions": {"uid": secret["metadata"]["uid"]}}
        try:
            await self._cluster.api.delete(SECRETS, key[1], key[0], options=options)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
        return None

    async def _sign(self) -> None:
        info = self._maps.get(CLUSTER_INFO, PUBLIC)
        if info is None or KUBECONFIG not in (info.get("data") or {}):
            return
        now, content = self._cluster.clock.now(), info["data"][KUBECONFIG]
        valid = filter(None, (tokens.signing(item, now) for item in self._secrets.store.values()))
        kept = {key: value for key, value in info["data"].items() if not key.startswith(SIGNATURE)}
        signed = {f"{SIGNATURE}{name}": detached(content, name, proof) for name, proof in valid}
        if {**kept, **signed} != info["data"]:
            await self._cluster.update(CONFIG_MAPS, {**info, "data": {**kept, **signed}})


def detached(content: str, identifier: str, proof: str) -> str:
    """The signature of a text by a token: a JWS (HS256) without its content."""
    head = _encoded(msgspec.json.encode({"alg": "HS256", "kid": identifier}))
    signed = f"{head}.{_encoded(content.encode())}".encode()
    return f"{head}..{_encoded(hmac.new(proof.encode(), signed, hashlib.sha256).digest())}"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
