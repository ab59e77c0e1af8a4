"""Events of nodes. They are never answered, and one that is lost is no harm."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any

import msgspec

from edgelab.cloudcore.edgecontroller.nodes import typed
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi, Obj, PatchType
from edgelab.kube.resources import EVENTS
from edgelab.objects.status import ApiError
from edgelab.protocol.content.objects import EventPatch
from edgelab.protocol.message import Message
from edgelab.protocol.resource import Resource

log = logging.getLogger("edgelab.cloudcore.upstream")


class EventWrites:
    """Writes what nodes tell into the namespace of their resource."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def create(self, node: str, message: Message, resource: Resource) -> None:
        """Something happened."""
        await _quietly(node, resource, self._create(message.object(), resource))

    async def update(self, node: str, message: Message, resource: Resource) -> None:
        """The whole Event again."""
        event = _event(message.object())
        await _quietly(node, resource, self._api.update(EVENTS, event, resource.namespace))

    async def patch(self, node: str, message: Message, resource: Resource) -> None:
        """It happened again: mostly a count."""
        content = msgspec.json.decode(message.data(), type=EventPatch)
        await _quietly(node, resource, self._patch(content, resource))

    async def _create(self, event: Any, resource: Resource) -> Obj:
        return await self._api.create(EVENTS, _event(event), resource.namespace)

    async def _patch(self, content: EventPatch, resource: Resource) -> Obj:
        patch = content.patch.encode()
        try:
            return await self._api.patch(
                EVENTS, resource.name, patch, resource.namespace, patch_type=PatchType.STRATEGIC
            )
        except ApiError as error:
            if error.code != 404:
                raise
        # Expired in the API meanwhile; the node sends the whole event along for this.
        return await self._create(msgspec.json.decode(content.event), resource)


async def _quietly(node: str, resource: Resource, call: Awaitable[Obj]) -> None:
    try:
        await call
    except (ApiError, Unreachable) as error:
        log.debug("event %s of node %s: %s", resource, node, error)


def _event(obj: Any) -> Obj:
    return typed(obj, "Event", EVENTS.api_version)
