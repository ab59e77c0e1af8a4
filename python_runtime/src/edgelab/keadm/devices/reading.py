"""Reading devices, and what goes with them, from the API server."""

from __future__ import annotations

from dataclasses import dataclass

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.keadm.devices.twins import join, model_name
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.kube.resources import DEVICE_MODELS, DEVICE_STATUSES, DEVICES
from edgelab.objects.status import ApiError


@dataclass(frozen=True, slots=True)
class Query:
    """Which devices; what is empty asks for all of them. `labels` is a label selector."""

    name: str = ""
    namespace: str = ""
    node: str = ""
    model: str = ""
    labels: str = ""

    def matches(self, device: Obj) -> bool:
        """Whether node and model are the wanted ones; the API server sees to the rest."""
        node = (device.get("spec") or {}).get("nodeName") or ""
        return self.node in ("", node) and self.model in ("", model_name(device))


async def read(api: KubeApi, query: Query, clock: Clock = SYSTEM) -> list[Obj]:
    """The devices, by namespace and name, in the shape of `twins.join`. Raises ApiError, Unreachable.

    A cluster without KubeEdge's definitions has none.
    """
    found = await _list(api, DEVICES, query, query.labels)
    devices = [device for device in found.values() if query.matches(device)]
    if not devices:
        return []
    statuses = await _list(api, DEVICE_STATUSES, query)
    models = await _list(api, DEVICE_MODELS, Query(namespace=query.namespace))
    now = clock.now()
    return [
        join(
            device,
            statuses.get(_key(device)),
            models.get((_key(device)[0], model_name(device))),
            now,
        )
        for device in sorted(devices, key=_key)
    ]


async def _list(
    api: KubeApi, resource: Resource, query: Query, labels: str = ""
) -> dict[tuple[str, str], Obj]:
    """Objects by namespace and name; none of a kind that is not served."""
    fields = f"metadata.name={query.name}" if query.name else ""
    try:
        found = await api.list(
            resource, query.namespace or None, label_selector=labels, field_selector=fields
        )
    except ApiError as error:
        if error.code == 404:
            return {}
        raise
    return {_key(obj): obj for obj in found.items}


def _key(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("namespace", "default"), obj["metadata"]["name"]
