"""One mapper: what it has been told, and telling it the rest.

What changed is kept as a set of keys, not as a queue of events: each is compared with what the mapper was
told last, so a mapper that was away gets the newest of everything, in the order in which it changed first,
and is rid of what is gone. Bounded by the number of devices and models.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Unreachable
from edgelab.daemon.unixgrpc import CallError, Peer
from edgelab.edgecore.dmi.catalogue import DEVICE, Catalogue, Key, Waiting
from edgelab.protocol.dmi import api_pb2 as pb
from edgelab.protocol.dmi.methods import MAPPER

log = logging.getLogger(__name__)

CALL_DEADLINE = 10.0
"""Seconds for a mapper to answer, as the original allows."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
NO_ANSWER = frozenset({"DEADLINE_EXCEEDED", "UNAVAILABLE", "CANCELLED"})

Told = dict[Key, bytes | None]
"""Fingerprints of what a mapper has; None where that is not known, GHOST for what it may have from before."""
GHOST = b""


class Mapper(NamedTuple):
    """Whom a link speaks to; `path` is its socket."""

    name: str
    protocol: str
    path: str


class Link:
    """Speaks to the mapper of one protocol, at the socket that it registered with."""

    def __init__(self, mapper: Mapper, catalogue: Catalogue, clock: Clock, told: Told) -> None:
        self.told = told
        self._mapper = mapper
        self._catalogue = catalogue
        self._clock = clock
        self._peer = Peer(mapper.path)
        self._due: dict[Key, None] = {}
        self._wake = asyncio.Event()
        self._waiting: dict[Key, str] = {}
        self._away = False

    def touch(self, keys: Iterable[Key]) -> None:
        """Compare these with what the mapper has, as soon as it can be told."""
        self._due.update(dict.fromkeys(keys))
        self._wake.set()

    async def run(self) -> NoReturn:
        """Tell the mapper what is due, again and again while it is away."""
        waits = delays(FIRST_WAIT, LONGEST_WAIT)
        try:
            while True:
                await self._wake.wait()
                while self._due:
                    key = next(iter(self._due))
                    try:
                        await self._settle(key)
                    except Unreachable as error:
                        self._complain(error)
                        await self._clock.sleep(next(waits))
                    else:
                        waits = delays(FIRST_WAIT, LONGEST_WAIT)
                        self._away = False
                self._wake.clear()
        finally:
            self._peer.close()

    async def _settle(self, key: Key) -> None:
        """Bring one object up to date; one that the mapper does not answer to must not hold up the others."""
        del self._due[key]
        try:
            await self._tell(key)
        except Unreachable:
            self._due.setdefault(key)
            raise

    async def _tell(self, key: Key) -> None:
        try:
            message = self._catalogue.message(self._mapper.protocol, key)
        except Waiting as reason:
            if self._waiting.get(key) != str(reason):
                log.warning("%s", reason)
            self._waiting[key] = str(reason)
            return
        self._waiting.pop(key, None)
        if key in self.told and (message is None or self._is_ghost(key)):
            await self._call(*_removal(key), is_sure=not self._is_ghost(key))
            self.told.pop(key, None)
        if message is None:
            return
        model = self._catalogue.model_of(key)
        if model is not None and (model not in self.told or self._is_ghost(model)):
            await self._tell(model)
        mark = fingerprint(message)
        if key in self.told and self.told[key] == mark:
            return
        await self._call(*_arrival(key, message, known=key in self.told))
        self.told[key] = mark

    def _is_ghost(self, key: Key) -> bool:
        return self.told.get(key) == GHOST

    async def _call(self, method: str, request: Any, *, is_sure: bool = True) -> None:
        """Tell it; unless `is_sure`, that it does not want to is no surprise."""
        path, _, answer = MAPPER[method]
        try:
            await self._peer.call(path, request, answer, CALL_DEADLINE)
        except CallError as error:
            if error.status in NO_ANSWER:
                raise Unreachable(f"{method}: {error}") from None
            # It heard and does not want to: saying it again would not help, the next change may.
            level = logging.WARNING if is_sure else logging.DEBUG
            log.log(level, "mapper %s refuses %s: %s", self._mapper.name, method, error)

    def _complain(self, error: Exception) -> None:
        level = logging.DEBUG if self._away else logging.WARNING
        log.log(
            level,
            "mapper %s (protocol %s) does not answer: %s",
            self._mapper.name,
            self._mapper.protocol,
            error,
        )
        self._away = True


def fingerprint(message: Any) -> bytes:
    """What tells one content of a message from another."""
    return hashlib.blake2b(message.SerializeToString(deterministic=True), digest_size=16).digest()


def _arrival(key: Key, message: Any, *, known: bool) -> tuple[str, Any]:
    if key.kind == DEVICE:
        if known:
            return "UpdateDevice", pb.UpdateDeviceRequest(device=message)
        return "RegisterDevice", pb.RegisterDeviceRequest(device=message)
    if known:
        return "UpdateDeviceModel", pb.UpdateDeviceModelRequest(model=message)
    return "CreateDeviceModel", pb.CreateDeviceModelRequest(model=message)


def _removal(key: Key) -> tuple[str, Any]:
    namespace, _, name = key.id.partition("/")
    if key.kind == DEVICE:
        return "RemoveDevice", pb.RemoveDeviceRequest(deviceName=name, deviceNamespace=namespace)
    return "RemoveDeviceModel", pb.RemoveDeviceModelRequest(modelName=name, modelNamespace=namespace)
