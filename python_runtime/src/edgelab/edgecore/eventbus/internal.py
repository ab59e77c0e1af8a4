"""The link with EdgeCore's own broker, which listens here.

A port that is taken is named with its holder and tried again; the rest of EdgeCore goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
from typing import NoReturn

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.edgecore.eventbus import listeners
from edgelab.edgecore.eventbus.addresses import Address, address
from edgelab.edgecore.eventbus.broker.access import Access
from edgelab.edgecore.eventbus.broker.broker import Broker, Limits
from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.edgecore.eventbus.inbox import Inbox
from edgelab.edgecore.eventbus.thread import in_thread
from edgelab.edgecore.eventbus.tls import Tls, server_tls
from edgelab.settings import edgecore as settings

log = logging.getLogger(__name__)


RENEW = 60.0
"""Seconds between two looks at whether the certificate was renewed."""


class Internal:
    """The link. Messages are published with the QoS and retained as the settings say."""

    name = "internal"

    def __init__(
        self,
        broker: Broker,
        where: Address,
        tls: Tls | None,
        clock: Clock,
        *,
        qos: int,
        retain: bool,
    ) -> None:
        self._broker = broker
        self._where = where
        self._tls = tls
        self._clock = clock
        self._qos = qos
        self._retain = retain

    async def run(self) -> NoReturn:
        """Listen until cancelled."""
        host, port = self._where.host, self._where.port
        waits = delays(2, 30)
        complaint = ""
        while True:
            try:
                async with self._broker.serve(host, port, self._tls.context if self._tls else None) as bound:
                    log.info("the internal MQTT broker listens on %s:%d", host, bound)
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._broker.sweep(), name="eventbus/sweep")
                        group.create_task(self._renew(), name="eventbus/certificate")
            except OSError as error:
                if str(error) != complaint:
                    log.error("%s", await self._reason(error))
                complaint = str(error)
            await self._clock.sleep(next(waits))

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell MQTT clients."""
        self._broker.publish(Message(topic, payload, self._qos, self._retain))

    async def room(self) -> None:
        """Nothing to wait for: the broker bounds what waits for each of its clients."""

    def subscribe(self, pattern: str) -> None:
        """Put what clients publish on these topics into the inbox."""
        self._broker.listen_to(pattern)

    def unsubscribe(self, pattern: str) -> None:
        """Undo `subscribe`."""
        self._broker.ignore(pattern)

    async def _renew(self) -> None:
        while self._tls is not None:
            await self._clock.sleep(RENEW)
            self._tls.refresh()

    async def _reason(self, error: OSError) -> str:
        port = self._where.port
        if error.errno == errno.EADDRINUSE:
            holder = await in_thread("mqtt-port", lambda: listeners.holder(port))  # looks at every process
            return (
                f"MQTT port {port} is used by {holder}: set modules.eventBus.mqttMode to 2, "
                "stop it, or set another port in modules.eventBus.mqttServerInternal"
            )
        reason = error.strerror or error
        return f"modules.eventBus.mqttServerInternal: no listening on {self._where.host}:{port}: {reason}"


def internal(
    config: settings.EventBus, extra: settings.Mqtt, inbox: Inbox, clock: Clock, drops: Drops
) -> Internal:
    """The broker that the settings describe. Raises Fatal for what cannot work."""
    where = address("mqttServerInternal", config.mqttServerInternal)
    access = Access(extra.passwordFile, extra.aclFile)
    tls = server_tls(config.eventBusTLS, encrypted=where.encrypted)
    checked = tls is not None and config.eventBusTLS.enable
    if access.anonymous and not checked and not _is_loopback(where.host):
        log.warning(
            "modules.eventBus.mqttServerInternal: whoever reaches %s:%d may read and write everything; set "
            "edgelab.mqtt.passwordFile, or listen on 127.0.0.1",
            where.host,
            where.port,
        )
    limits = Limits(queue=config.mqttSessionQueueSize, packet=extra.maximumPacketSize)
    broker = Broker(access, limits, inbox, clock, drops)
    return Internal(broker, where, tls, clock, qos=config.mqttQOS, retain=config.mqttRetain)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
