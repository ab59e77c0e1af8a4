"""One connection to a broker: a message goes there, and perhaps an answer comes back.

paho-mqtt is driven by hand in this thread, so that each step ends by one common deadline. Nothing is
tried twice: who asks for a message to be published wants to know whether it was.
"""

from __future__ import annotations

import json
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, error_string
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.keadm.mqtt.requests import Broker, Publication, Tls
from edgelab.keadm.report import Failure

KEEPALIVE = 60
STEP = 1.0
"""Seconds after which paho looks at its own timers while nothing comes."""


@dataclass(frozen=True, slots=True)
class Received:
    """An answer as it came."""

    topic: str
    payload: bytes
    qos: int

    def summary(self) -> dict[str, Any]:
        """For the JSON answer: the payload as text, and as data under `json` where it is JSON."""
        text = self.payload.decode("utf-8", "replace")
        told = {"topic": self.topic, "payload": text, "qos": self.qos}
        try:
            return {**told, "json": json.loads(text)}
        except ValueError:
            return told


def exchange(
    broker: Broker, message: Publication, *, seconds: float, clock: Clock = SYSTEM
) -> Received | None:
    """Publish, and return the first answer where one is awaited. Raises Failure for whatever fails.

    An answer is what comes after the message was sent and is not retained by the broker from earlier.
    """
    session = _Session(broker, seconds, clock)
    try:
        session.connect()
        if message.wait_for:
            session.subscribe(message.wait_for)
        session.publish(message)
        return session.answer(message.wait_for) if message.wait_for else None
    finally:
        session.close()


class _Session:
    """The steps of one exchange, all before `seconds` have passed."""

    def __init__(self, broker: Broker, seconds: float, clock: Clock) -> None:
        self._broker = broker
        self._seconds = seconds
        self._clock = clock
        self._deadline = clock.monotonic() + seconds
        self._accepted = False
        self._subscribed = False
        self._refusal = ""
        self._sent = False
        self._answer: Received | None = None
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"keadm-{uuid.uuid4().hex[:12]}",
            reconnect_on_failure=False,
        )
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def connect(self) -> None:
        """Connect and log in."""
        broker = self._broker
        self._client.connect_timeout = max(self._left(), 0.001)
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password)
        try:
            if broker.tls is not None:
                self._client.tls_set_context(_context(broker.tls))
            self._client.connect(broker.host, broker.port, KEEPALIVE)
        except (OSError, ValueError) as error:
            raise self._failure(_reason(error)) from None
        self._until(lambda: self._accepted, "the broker did not let us in")

    def subscribe(self, topic: str) -> None:
        """Subscribe, and wait until the broker has agreed."""
        self._client.subscribe(topic, qos=1)
        self._until(lambda: self._subscribed, f"the subscription to {topic} was not confirmed")

    def publish(self, message: Publication) -> None:
        """Send, and wait until the broker has it (QoS 1 and 2) or it has been written (QoS 0)."""
        self._sent = True
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        self._until(info.is_published, f"the message to {message.topic} was not confirmed")

    def answer(self, topic: str) -> Received:
        """The first answer."""
        self._until(
            lambda: self._answer is not None, f"the message was published, but no answer came on {topic}"
        )
        assert self._answer is not None
        return self._answer

    def close(self) -> None:
        """Say goodbye."""
        self._client.disconnect()

    def _until(self, done: Callable[[], bool], missing: str) -> None:
        while not done():
            left = self._left()
            if left <= 0:
                raise self._failure(f"{missing} within {self._seconds:g} s")
            status = self._client.loop(min(left, STEP))
            if self._refusal:
                raise self._failure(self._refusal)
            if status != MQTTErrorCode.MQTT_ERR_SUCCESS and not done():
                raise self._failure(f"{missing}, the connection ended: {error_string(status)}")

    def _left(self) -> float:
        return self._deadline - self._clock.monotonic()

    def _failure(self, reason: str) -> Failure:
        return Failure(f"MQTT broker {self._broker.address}: {reason}")

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refusal = f"it refused the connection: {reason}"
        self._accepted = not reason.is_failure

    def _on_subscribe(self, _client: Any, _data: Any, _mid: Any, reasons: Any, _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._refusal = "it refused the subscription: the user may not read that topic"
        self._subscribed = True

    def _on_message(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        if self._sent and self._answer is None and not message.retain:
            self._answer = Received(message.topic, bytes(message.payload), message.qos)


def _context(tls: Tls) -> ssl.SSLContext:
    """Raises Failure naming the flag whose file is none of its kind."""
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except ssl.SSLError:
        raise Failure(f"--cafile {tls.ca}: no certificate in PEM form", field="cafile") from None
    if tls.cert is not None:
        try:
            context.load_cert_chain(tls.cert, tls.key, password="")  # a key with a passphrase is refused
        except ssl.SSLError:
            raise Failure(
                f"--cert {tls.cert}, --key {tls.key}: no certificate and the key of it, in PEM form and open",
                field="cert",
            ) from None
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or error)
