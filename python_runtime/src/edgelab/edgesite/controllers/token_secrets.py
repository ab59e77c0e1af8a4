"""Tokens that lie in Secrets of type `kubernetes.io/service-account-token` (`pkg/controller/serviceaccount`).

Receives such Secrets and service accounts. Fills Secrets with a token, the CA and the namespace; deletes
those whose account is not (or no longer) there, which revokes their tokens.
"""

from __future__ import annotations

import asyncio
import base64

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.trust import Trust
from edgelab.edgesite.controllers.support.workqueue import Synced, WorkQueue
from edgelab.kube.informer import DELETED, Informer, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import SECRETS, SERVICE_ACCOUNTS
from edgelab.objects.metadata import is_deleting
from edgelab.objects.status import ApiError

TYPE = "kubernetes.io/service-account-token"
NAME, UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"


class TokenSecretController:
    """A module; its queue holds the keys of Secrets."""

    name = "serviceaccount-token-controller"

    def __init__(self, cluster: Cluster, trust: Trust) -> None:
        self._cluster = cluster
        self._trust = trust
        self._accounts = cluster.view(SERVICE_ACCOUNTS)
        self._secrets = Informer(cluster.api, SECRETS, field_selector=f"type={TYPE}", clock=cluster.clock)
        needs: list[Synced] = [self._accounts, self._secrets]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._secrets.add_handler(self._on_secret)
        self._accounts.add_handler(self._on_account)

    async def run(self) -> None:
        """Keep the Secrets."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._secrets.run(), name="informer/secrets")
            group.create_task(self._queue.run(), name=self.name)

    def _on_secret(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type != DELETED and new.get("type") == TYPE:
            self._queue.add_object(new)

    def _on_account(self, event_type: str, old: Obj | None, new: Obj) -> None:
        namespace, name = new["metadata"]["namespace"], new["metadata"]["name"]
        for key, secret in self._secrets.store.items():
            if key[0] == namespace and _annotation(secret, NAME) == name:
                self._queue.add(key)

    async def _reconcile(self, key: Key) -> None:
        secret = self._secrets.store.get(key)
        if secret is None or secret.get("type") != TYPE or is_deleting(secret):
            return
        account = await self._account(secret)
        if account is None:
            await self._delete(secret)
            return
        data = secret.get("data") or {}
        wanted = {
            "ca.crt": _encoded(self._trust.ca_pem),
            "namespace": data.get("namespace") or _encoded(key[0]),
            "token": data.get("token") or _encoded(self._trust.legacy_token(account, secret)),
        }
        uid = account["metadata"]["uid"]
        if {**data, **wanted} != data or _annotation(secret, UID) != uid:
            annotations = {**(secret["metadata"].get("annotations") or {}), UID: uid}
            metadata = {**secret["metadata"], "annotations": annotations}
            await self._cluster.api.update(
                SECRETS, {**secret, "metadata": metadata, "data": {**data, **wanted}}, key[0]
            )

    async def _account(self, secret: Obj) -> Obj | None:
        """The account of a Secret; who is not in the view is asked for, it may be younger."""
        name, uid = _annotation(secret, NAME), _annotation(secret, UID)
        namespace = secret["metadata"]["namespace"]
        found = self._accounts.get(name, namespace)
        if found is None or (uid and found["metadata"]["uid"] != uid):
            try:
                found = await self._cluster.api.get(SERVICE_ACCOUNTS, name, namespace)
            except ApiError as error:
                if error.code != 404:
                    raise
                return None
        return found if not uid or found["metadata"]["uid"] == uid else None

    async def _delete(self, secret: Obj) -> None:
        metadata = secret["metadata"]
        options = {"preconditions": {"uid": metadata["uid"]}}
        try:
            await self._cluster.api.delete(SECRETS, metadata["name"], metadata["namespace"], options=options)
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def _annotation(obj: Obj, name: str) -> str:
    return (obj["metadata"].get("annotations") or {}).get(name) or ""


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
