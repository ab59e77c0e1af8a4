"""What MQTT clients are told, in the order result, document, delta (sample clients rely on it).

Without a broker nothing is told: its readers are not there either. Clients of before KubeEdge 1.17 know
devices by their bare name; a device that was asked for in this form is spoken of in both.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from edgelab.edgecore.devicetwin.twins import Outcome
from edgelab.protocol import topics
from edgelab.protocol.twin import DeviceRecord, Twin, envelope

Delta = tuple[dict[str, Twin], dict[str, str]]
"""Of `twins.delta`."""

_encode = msgspec.json.Encoder().encode


class Bus(Protocol):
    """EventBus as DeviceTwin sees it."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell MQTT clients; dropped when there is no broker."""
        ...


class Clients:
    """Speaks on the node's topics; ids are what stands in a topic, one segment or two."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._bus: Bus | None = None

    def attach(self, bus: Bus) -> None:
        """Name the way to them."""
        self._bus = bus

    def result(self, ids: tuple[str, ...], action: str, event: str, **fields: Any) -> None:
        """Answer a request."""
        self._tell(ids, action, envelope(event, **fields))

    def refuse(self, ids: tuple[str, ...], action: str, event: str, code: int, reason: str) -> None:
        """Answer a request that is not carried out."""
        self._tell(ids, action, envelope(event, code=code, reason=reason))

    def changed(self, ids: tuple[str, ...], event: str, outcome: Outcome, delta: Delta) -> None:
        """Tell of a change: what it was and is, and what the device has still to reach."""
        if outcome.document:
            self._tell(ids, topics.TWIN_UPDATE_DOCUMENT, envelope(event, twin=outcome.document))
        expected, differing = delta
        if differing:
            self._tell(ids, topics.TWIN_UPDATE_DELTA, envelope(twin=expected, delta=differing))

    def state(self, ids: tuple[str, ...], body: dict[str, Any]) -> None:
        """Tell of a device's state."""
        self._tell(ids, topics.STATE_UPDATE_RESULT, body)

    def members(self, node: str, body: dict[str, Any]) -> None:
        """Answer who asks for the node's devices."""
        self._publish(topics.of_node(node, topics.MEMBERSHIP_GET_RESULT), body)

    def joined(self, record: DeviceRecord) -> None:
        """Tell of a device that came."""
        self._moved(added=[record], removed=None)

    def left(self, record: DeviceRecord) -> None:
        """Tell of a device that went."""
        self._moved(added=None, removed=[record])

    def _moved(self, added: list[DeviceRecord] | None, removed: list[DeviceRecord] | None) -> None:
        body = envelope(added_devices=added, removed_devices=removed)
        self._publish(topics.of_node(self._node, topics.MEMBERSHIP_UPDATED), body)

    def _tell(self, ids: tuple[str, ...], action: str, body: dict[str, Any]) -> None:
        if self._bus is not None:
            payload = _encode(body)
            for device_id in ids:
                self._bus.publish(topics.of_device(device_id, action), payload)

    def _publish(self, topic: str, body: dict[str, Any]) -> None:
        if self._bus is not None:
            self._bus.publish(topic, _encode(body))
