"""Status reports of KubeEdge releases up to 1.11: whole statuses instead of patches.

Facts: KubeEdge `cloud/pkg/edgecontroller/controller/upstream.go` (updatePodStatus, updateNodeStatus).
Other than there, a failure is always answered, so that the node need not wait for its time to run out.
"""

from __future__ import annotations

import logging

import msgspec

from edgelab.cloudcore.edgecontroller.nodes import NodeWrites, own
from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.replies import Replier
from edgelab.daemon.clock import Clock, rfc3339
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import NODES, PODS
from edgelab.objects.status import ApiError
from edgelab.protocol.content.objects import NodeStatus, PodStatus
from edgelab.protocol.message import Message
from edgelab.protocol.resource import Resource
from edgelab.protocol.session.delivery import of_missing

log = logging.getLogger("edgelab.cloudcore.legacy")

TIMED_CONDITIONS = ("Ready", "Initialized")
"""Conditions of pods whose time of change the cloud keeps: old nodes send the time of the report."""
ENDED = ("Succeeded", "Failed")


class LegacyReports:
    """`podstatus` and `nodestatus` messages."""

    def __init__(self, api: KubeApi, courier: Courier, nodes: NodeWrites, clock: Clock) -> None:
        self._api = api
        self._courier = courier
        self._reply = Replier(courier)
        self._nodes = nodes
        self._clock = clock

    async def pod_status(self, node: str, message: Message, resource: Resource) -> None:
        """One report or a list of them; each is answered."""
        content = msgspec.json.decode(message.data(), type=PodStatus | list[PodStatus])
        for report in content if isinstance(content, list) else [content]:
            try:
                await self._write_pod(node, report, resource.namespace)
            except (ApiError, Unreachable) as error:
                self._reply.failed(node, message, error)
            else:
                self._reply.ok(node, message)

    async def register(self, node: str, message: Message, resource: Resource) -> None:
        """The whole Node; one that exists already is left alone."""
        if not own(node, message, resource):
            return
        try:
            await self._nodes.register(node, message.object())
        except ApiError as error:
            if error.reason != "AlreadyExists":
                self._reply.failed(node, message, error)
                return
        except Unreachable as error:
            self._reply.failed(node, message, error)
            return
        self._reply.ok(node, message)

    async def node_status(self, node: str, message: Message, resource: Resource) -> None:
        """The status and, as annotations, the node's devices that pods may use."""
        if not own(node, message, resource):
            return
        report = msgspec.json.decode(message.data(), type=NodeStatus)
        try:
            version = await self._write_node(node, report)
        except (ApiError, Unreachable) as error:
            self._reply.failed(node, message, error)
            return
        self._reply.ok(node, message, version=version)

    async def _write_node(self, node: str, report: NodeStatus) -> str:
        present = await self._api.get(NODES, node)
        status = msgspec.json.decode(report.status)
        before = present.get("status") or {}
        # Both belong to the cloud: the attach controller's list, and the port that the tunnel goes through.
        status.pop("volumesAttached", None)
        if ((before.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port"):
            status.pop("daemonEndpoints", None)
        if self._nodes.corrected is not None:
            status = self._nodes.corrected(node, status)
        extra = report.extend_resources or {}
        annotations = {name: msgspec.json.encode(entries).decode() for name, entries in extra.items()}
        if annotations:
            await self._api.patch(NODES, node, {"metadata": {"annotations": annotations}})
        written = await self._api.patch(NODES, node, {"status": status}, subresource="status")
        return str(written["metadata"].get("resourceVersion", ""))

    async def _write_pod(self, node: str, report: PodStatus, namespace: str) -> None:
        name, uid = report.name, report.uid
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
        status = _steady(pod.get("status") or {}, msgspec.json.decode(report.status), self._clock)
        await self._api.patch(PODS, name, {"status": status}, namespace, subresource="status")
        if pod["metadata"].get("deletionTimestamp") and _ended(status):
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
            await self._api.delete(PODS, name, namespace, options=options)


def _steady(before: Obj, reported: Obj, clock: Clock) -> Obj:
    """The reported status with the times that must not move: of the start, and of conditions that stayed."""
    now = rfc3339(clock.now())
    known = {condition.get("type"): condition for condition in before.get("conditions") or []}
    status = {**reported, "startTime": before.get("startTime") or reported.get("startTime") or now}
    for condition in status.get("conditions") or []:
        if condition.get("type") in TIMED_CONDITIONS:
            old = known.get(condition["type"]) or {}
            kept = old.get("lastTransitionTime") if old.get("status") == condition.get("status") else None
            condition["lastTransitionTime"] = kept or now
    return status


def _ended(status: Obj) -> bool:
    containers = status.get("containerStatuses") or []
    running = any("running" in (container.get("state") or {}) for container in containers)
    return status.get("phase") in ENDED and not running
