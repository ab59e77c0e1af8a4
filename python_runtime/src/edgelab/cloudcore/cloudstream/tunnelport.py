"""KubeEdge's tunnel port: which one each CloudCore has, in ConfigMap `tunnelport` (CloudCore's namespace).

Facts: KubeEdge `cloud/cmd/cloudcore/app/server.go: NegotiateTunnelPort`. The annotation has
{"ipTunnelPort": {"10.0.0.5": 10351}, "port": {"10351": true}}; KubeEdge's iptables-manager reads it. Better
than the original: no random wait at the start, as two CloudCores that write at once see it by the version.
"""

from __future__ import annotations

from typing import Any

import msgspec

from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import CONFIG_MAPS
from edgelab.objects.status import ApiError

NAME = "tunnelport"
ANNOTATION = "tunnelportrecord.kubeedge.io"
FIRST = 10351
LAST = 65535
CONFLICT = 409


class _Record(msgspec.Struct):
    ipTunnelPort: dict[str, int] = {}
    port: dict[str, bool] = {}


async def negotiate(api: KubeApi, namespace: str, address: str) -> int:
    """The tunnel port of the CloudCore at `address`: the one it has, else the lowest free. Raises ApiError,
    Unreachable."""
    while True:
        present = await _read(api, namespace)
        record = _record(present)
        if port := record.ipTunnelPort.get(address):
            return port
        port = next(p for p in range(FIRST, LAST) if str(p) not in record.port)
        record.ipTunnelPort[address] = port
        record.port[str(port)] = True
        try:
            await _write(api, namespace, present, msgspec.json.encode(record).decode())
        except ApiError as error:
            if error.code != CONFLICT:
                raise
            continue  # another CloudCore was quicker
        return port


async def _read(api: KubeApi, namespace: str) -> Obj | None:
    try:
        return await api.get(CONFIG_MAPS, NAME, namespace)
    except ApiError as error:
        if error.code != 404:
            raise
        return None


def _record(present: Obj | None) -> _Record:
    """What the annotation says; what is no record is made anew."""
    text: Any = ((present or {}).get("metadata", {}).get("annotations") or {}).get(ANNOTATION, "")
    try:
        return msgspec.json.decode(text, type=_Record)
    except msgspec.DecodeError:
        return _Record({}, {})


async def _write(api: KubeApi, namespace: str, present: Obj | None, text: str) -> None:
    metadata: Obj = {"name": NAME, "namespace": namespace, "annotations": {ANNOTATION: text}}
    if present is None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        await api.create(CONFIG_MAPS, body, namespace)
        return
    version = present["metadata"].get("resourceVersion", "")
    patch = {"metadata": {"annotations": {ANNOTATION: text}, "resourceVersion": version}}
    await api.patch(CONFIG_MAPS, NAME, patch, namespace)
