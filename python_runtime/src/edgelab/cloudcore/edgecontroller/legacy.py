"""Status reports of KubeEdge releases up to 1.11: whole statuses instead of patches.

Facts: KubeEdge `cloud/pkg/edgecontroller/controller/upstream.go` (updatePodStatus, updateNodeStatus).
"""

from __future__ import annotations

import logging

from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.replies import answer, error_status
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import NODES, PODS
from edgelab.objects.status import ApiError
from edgelab.protocol.message import Message
from edgelab.protocol.resource import Resource
from edgelab.protocol.session.delivery import of_missing

log = logging.getLogger("edgelab.cloudcore.legacy")


class LegacyReports:
    """`podstatus` and `nodestatus` messages."""

    def __init__(self, api: KubeApi, courier: Courier) -> None:
        self._api = api
        self._courier = courier

    async def pod_status(self, node: str, message: Message, resource: Resource) -> None:
        """One report or a list of them: `{"UID", "Name", "Status"}`; each is answered."""
        content = message.object()
        for report in content if isinstance(content, list) else [content]:
            try:
                await self._write_pod(node, report, resource.namespace)
            except (ApiError, Unreachable) as error:
                self._courier.send(node, answer(message, error_status(error)))
            else:
                self._courier.send(node, answer(message, "OK"))

    async def node_status(self, node: str, message: Message, resource: Resource) -> None:
        """`{"UID", "Status", "ExtendResources"}`: the Node is created when it is missing."""
        if resource.name != node:
            log.warning("node %s may not report for %s", node, resource.name)
            return
        status = message.object().get("Status") or {}
        try:
            try:
                await self._api.get(NODES, node)
            except ApiError as error:
                if error.code != 404:
                    raise
                body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}
                await self._api.create(NODES, body)
            await self._api.patch(NODES, node, {"status": status}, subresource="status")
        except (ApiError, Unreachable) as error:
            self._courier.send(node, answer(message, error_status(error)))
            return
        self._courier.send(node, answer(message, "OK"))

    async def _write_pod(self, node: str, report: Obj, namespace: str) -> None:
        name, uid = report["Name"], report["UID"]
        try:
            pod = await self._api.get(PODS, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            pod = None
        if pod is None or pod["metadata"]["uid"] != uid:
            self._courier.push(node, of_missing("Pod", "v1", namespace, name, uid))
            return
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise ApiError(403, f'pods "{name}" is forbidden: it is not bound to node {node!r}')
        status = report.get("Status") or {}
        await self._api.patch(PODS, name, {"status": status}, namespace, subresource="status")
        if pod["metadata"].get("deletionTimestamp") and _ended(status):
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
            await self._api.delete(PODS, name, namespace, options=options)


def _ended(status: Obj) -> bool:
    containers = status.get("containerStatuses") or []
    return all("running" not in (container.get("state") or {}) for container in containers)
