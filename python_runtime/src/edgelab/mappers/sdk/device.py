"""A device's twin as its mapper sees it (KubeEdge `edge/pkg/devicetwin`, MQTT side)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from edgelab.mappers.sdk.mqtt import Broker
from edgelab.protocol import topics

log = logging.getLogger("edgelab.mappers.device")

NOT_FOUND = 404
"""Code of an answer: EdgeCore does not know the device."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A property's value as text, its type in KubeEdge's words (string, int, float, boolean), and when it
    was read (Unix milliseconds; 0 stands for the moment when EdgeCore hears of it)."""

    value: str
    type: str = "string"
    time: int = 0

    def twin(self) -> dict[str, Any]:
        """The reading as an update has it."""
        metadata = {"metadata": {"timestamp": self.time}} if self.time else {}
        return {"actual": {"value": self.value, **metadata}, "metadata": {"type": self.type}}


class DeviceTwin:
    """Reports properties, and hears what was accepted, refused and wanted.

    Stores nothing but the last refusal; while the broker is gone, reports raise `Offline`.
    """

    def __init__(
        self,
        broker: Broker,
        namespace: str,
        name: str,
        *,
        wanted: Callable[[dict[str, str]], None] | None = None,
    ) -> None:
        self.id = f"{namespace}/{name}"
        self.accepted = 0
        self.refused = 0
        self.refusal = ""
        """Why the edge refused the last report; empty when it took it."""
        self._broker = broker
        self._wanted = wanted
        self._answered: Callable[[str, int], None] = _nothing
        broker.subscribe(self._topic(topics.TWIN_UPDATE_RESULT), self._on_result)
        broker.subscribe(self._topic(topics.TWIN_UPDATE_DELTA), self._on_delta)
        if wanted is not None:
            broker.subscribe(self._topic(topics.TWIN_GET_RESULT), self._on_twin)

    def on_answer(self, listener: Callable[[str, int], None]) -> None:
        """Call `listener(event, code)` for every answer to a report; code 0 means that it was taken."""
        self._answered = listener

    def report(self, readings: Mapping[str, Reading], event: str = "") -> None:
        """Send values of properties; the answer names the event. Raises Offline."""
        twin = {name: reading.twin() for name, reading in readings.items()}
        self._send(topics.TWIN_UPDATE, {"twin": twin}, event)

    def state(self, state: str) -> None:
        """Send the device's state: online, ok, offline, unhealthy or unknown. Raises Offline."""
        self._send(topics.STATE_UPDATE, {"state": state})

    def ask(self) -> None:
        """Ask for the whole twin: what is wanted in it comes as a delta does. Raises Offline."""
        self._send(topics.TWIN_GET, {})

    def _send(self, action: str, body: dict[str, Any], event: str = "") -> None:
        message = {"event_id": event or uuid.uuid4().hex, "timestamp": 0, **body}
        self._broker.publish(self._topic(action), msgspec.json.encode(message))

    def _topic(self, action: str) -> str:
        return topics.of_device(self.id, action)

    def _on_result(self, topic: str, payload: bytes) -> None:
        answer = _read(topic, payload)
        code = answer.get("code") or 0
        self._note(answer, code)
        self._answered(str(answer.get("event_id") or ""), code if isinstance(code, int) else 0)

    def _note(self, answer: dict[str, Any], code: Any) -> None:
        if not code:
            self.accepted += 1
            self.refusal = ""
            return
        self.refused += 1
        refusal = f"{answer['code']} {answer.get('reason', '')}".strip()
        if refusal != self.refusal:
            log.warning("the edge refuses reports of %s: %s", self.id, refusal)
        self.refusal = refusal

    def _on_delta(self, topic: str, payload: bytes) -> None:
        delta = _read(topic, payload).get("delta")
        if self._wanted is not None and isinstance(delta, dict):
            self._wanted(delta)

    def _on_twin(self, topic: str, payload: bytes) -> None:
        twin = _read(topic, payload).get("twin")
        halves = {name: item.get("expected") for name, item in twin.items()} if isinstance(twin, dict) else {}
        wanted = {name: str(half["value"]) for name, half in halves.items() if half and half.get("value")}
        if self._wanted is not None and wanted:
            self._wanted(wanted)


def _nothing(_event: str, _code: int) -> None:
    pass


def _read(topic: str, payload: bytes) -> dict[str, Any]:
    """A JSON object; what is none is told and ignored, for anybody may publish on a broker."""
    try:
        answer = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        answer = None
    if not isinstance(answer, dict):
        log.warning("no JSON object on %s", topic)
        return {}
    return answer
