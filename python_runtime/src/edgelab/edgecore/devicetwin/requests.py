"""What MQTT clients ask: read, carried out, and answered on the topic that they asked on.

Every request that cannot be carried out is answered with code and reason; for states, the original is silent.
Payloads are bounded, and what they say is never repeated in a log.
"""

from __future__ import annotations

import logging

import msgspec

from edgelab.edgecore.devicetwin.clients import Clients
from edgelab.edgecore.devicetwin.devices import Device
from edgelab.edgecore.devicetwin.roster import Roster, record_of
from edgelab.edgecore.devicetwin.updates import Updates
from edgelab.edgecore.interfaces import Refused
from edgelab.protocol import topics
from edgelab.protocol.topics import Address
from edgelab.protocol.twin import BaseRequest, StateUpdate, TwinUpdate, envelope

log = logging.getLogger(__name__)

MOST_BYTES = 256 << 10
"""Of one payload."""
UNKNOWN_DEVICE = "update rejected due to the device is not existed"

RESULTS = {
    topics.TWIN_UPDATE: topics.TWIN_UPDATE_RESULT,
    topics.TWIN_GET: topics.TWIN_GET_RESULT,
    topics.TWIN_CLOUD_UPDATED: topics.TWIN_UPDATE_RESULT,
    topics.STATE_UPDATE: topics.STATE_UPDATE_RESULT,
}
"""Where each request is answered."""

_twin_update = msgspec.json.Decoder(TwinUpdate)
_state_update = msgspec.json.Decoder(StateUpdate)
_base_request = msgspec.json.Decoder(BaseRequest)


class Requests:
    """Carries requests out."""

    def __init__(self, roster: Roster, updates: Updates, clients: Clients) -> None:
        self._roster = roster
        self._updates = updates
        self._clients = clients

    def handle(self, address: Address, payload: bytes, answered: bool) -> None:
        """One request about a device; never raises."""
        result = RESULTS.get(address.action)
        if result is None:
            log.debug("no client is answered on %r", address.action[:64])
            return
        event = ""
        try:
            if len(payload) > MOST_BYTES:
                raise Refused(400, f"the payload has {len(payload)} bytes; at most {MOST_BYTES} are taken")
            event = _event_of(payload)
            self._carry_out(address, payload, event, answered=answered)
        except Refused as error:
            code, reason = error.code, str(error)
        except (msgspec.DecodeError, RecursionError) as error:
            code, reason = 400, str(error) or "the payload is nested too deeply"
        else:
            return
        if answered:
            self._clients.refuse((address.id,), result, event, code, reason)

    def members(self, node: str, payload: bytes) -> None:
        """Who asks for the node's devices."""
        try:
            event = _base_request.decode(payload[: MOST_BYTES + 1]).event_id
        except (msgspec.DecodeError, RecursionError) as error:
            body = envelope("", code=400, reason=str(error))
        else:
            body = envelope(event, devices=[record_of(device) for device in self._roster])
        self._clients.members(node, body)

    def _carry_out(self, address: Address, payload: bytes, event: str, *, answered: bool) -> None:
        device = self._roster.find(address.id)
        ids = self._roster.ids(device, address.id) if device and answered else ()
        match address.action:
            case topics.TWIN_UPDATE:
                twins = _twin_update.decode(payload).twin
                self._updates.from_node(_known(device), twins, ids, event)
            case topics.TWIN_CLOUD_UPDATED:
                twins = _twin_update.decode(payload).twin
                self._updates.from_cloud(_known(device), twins, ids, event)
            case topics.TWIN_GET:
                _base_request.decode(payload)
                if device is None:
                    raise Refused(404, f"Device {address.id} not found while getting twin")
                shown = {n: t.public() for n, t in device.twins.items() if not t.is_deleted}
                self._clients.result(ids, topics.TWIN_GET_RESULT, event, twin=shown)
            case topics.STATE_UPDATE:
                self._updates.state(_known(device), _state_update.decode(payload).state, ids)


def _known(device: Device | None) -> Device:
    if device is None:
        raise Refused(404, UNKNOWN_DEVICE)
    return device


def _event_of(payload: bytes) -> str:
    """The id that answers repeat; what has none, or a strange one, is told so where it is read as a whole."""
    try:
        return _base_request.decode(payload).event_id
    except (msgspec.DecodeError, RecursionError):
        return ""
