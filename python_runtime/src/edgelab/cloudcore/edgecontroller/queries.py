"""Objects that nodes ask for by name."""

from __future__ import annotations

from edgelab.cloudcore.replies import missing
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.kube.resources import (
    CONFIG_MAPS,
    CSRS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    SECRETS,
    SERVICE_ACCOUNTS,
    VOLUME_ATTACHMENTS,
)
from edgelab.objects.status import ApiError
from edgelab.protocol.resource import Resource as Address

KINDS = {
    "configmap": CONFIG_MAPS,
    "secret": SECRETS,
    "persistentvolume": PERSISTENT_VOLUMES,
    "persistentvolumeclaim": PERSISTENT_VOLUME_CLAIMS,
    "volumeattachment": VOLUME_ATTACHMENTS,
    "node": NODES,
    "certificatesigningrequest": CSRS,
}


class Queries:
    """Answers from the informers' stores where there is one, else from the server."""

    acknowledged = frozenset(
        {"configmap", "secret", "persistentvolume", "persistentvolumeclaim", "volumeattachment"}
    )
    """Types that the edge keeps, so that its copy is recorded and updated."""

    def __init__(self, api: KubeApi, informers: dict[Resource, Informer]) -> None:
        self._api = api
        self._informers = informers

    async def get(self, address: Address) -> Obj:
        """The object that an edge-form resource names, kind and apiVersion set.

        Raises ApiError (404 worded as CloudCore does) and Unreachable.
        """
        resource = KINDS[address.type]
        namespace = address.namespace if resource.namespaced else ""
        informer = self._informers.get(resource)
        known = informer.store.get((namespace, address.name)) if informer else None
        if known is not None:
            return known
        try:
            obj = await self._api.get(resource, address.name, namespace or None)
        except ApiError as error:
            raise missing(error, address.type, address.name, resource.group) from None
        return {**obj, "kind": resource.kind, "apiVersion": resource.api_version}

    async def token(self, namespace: str, account: str, request: Obj) -> Obj:
        """A TokenRequest of the ServiceAccount, carried out."""
        spec = {key: value for key, value in (request.get("spec") or {}).items() if value is not None}
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": account, "namespace": namespace},
            "spec": spec,
        }
        return await self._api.create(SERVICE_ACCOUNTS, body, namespace, subresource="token")
