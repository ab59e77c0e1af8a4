"""The devices and models of this node, read from the store as mappers get them.

Only who belongs to whom is kept in memory; an object is read when a mapper is to be told of it, so what
it is told is always the newest.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from edgelab.edgecore.interfaces import Obj
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.store import Store
from edgelab.protocol import resource
from edgelab.protocol.dmi.objects import device_message, model_message

log = logging.getLogger(__name__)

DEVICE: Final = "device"
MODEL: Final = "devicemodel"


class Key(NamedTuple):
    """A device or a model; `id` is `<namespace>/<name>`."""

    kind: str
    id: str


class Waiting(Exception):
    """Nothing can be said of a device now; `str()` is why."""


class _Device(NamedTuple):
    protocol: str
    model: str
    """Id of its model; empty when it has none."""


class Catalogue:
    """Which protocol each device speaks, and the messages of devices and models."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._devices: dict[str, _Device] = {}
        self._models: dict[str, str] = {}
        for kind in (MODEL, DEVICE):
            for key, _ in rows.of_type(store, kind):
                where = resource.parse(key)
                self.refresh(Key(kind, f"{where.namespace}/{where.name}"))

    def refresh(self, key: Key) -> list[Key]:
        """Look at an object anew; gives everything a mapper may have to be told of."""
        spec = _spec(self._stored(key))
        if key.kind == MODEL:
            if spec is None:
                self._models.pop(key.id, None)
            else:
                self._models[key.id] = _text(spec, "protocol")
            return [key, *(Key(DEVICE, name) for name, own in self._devices.items() if own.model == key.id)]
        if spec is None:
            self._devices.pop(key.id, None)
        else:
            namespace = key.id.partition("/")[0]
            model = _text(spec.get("deviceModelRef"), "name")
            self._devices[key.id] = _Device(
                _text(spec.get("protocol"), "protocolName"), f"{namespace}/{model}" if model else ""
            )
        return [key]

    def protocol(self, device_id: str) -> str | None:
        """The protocol of a device; None when this node does not have the device."""
        found = self._devices.get(device_id)
        return found.protocol if found else None

    def keys(self, protocol: str) -> Iterator[Key]:
        """Everything that concerns the mapper of a protocol, models first."""
        used = {device.model for device in self._devices.values() if device.protocol == protocol}
        for name, own in self._models.items():
            if own == protocol or name in used:
                yield Key(MODEL, name)
        for name, device in self._devices.items():
            if device.protocol == protocol:
                yield Key(DEVICE, name)

    def model_of(self, key: Key) -> Key | None:
        """The model of a device, when it has one."""
        found = self._devices.get(key.id) if key.kind == DEVICE else None
        return Key(MODEL, found.model) if found and found.model else None

    def message(self, protocol: str, key: Key) -> Any | None:
        """The object as the mapper of `protocol` is to have it, None when it is to have none.

        Raises Waiting.
        """
        if key.kind == MODEL:
            concerned = self._models.get(key.id) == protocol or any(
                device.model == key.id and device.protocol == protocol for device in self._devices.values()
            )
            found = self._stored(key) if concerned else None
            return None if found is None else _converted(key, lambda: model_message(found))
        device = self._devices.get(key.id)
        if device is None or device.protocol != protocol:
            return None
        found, model = self._stored(key), self._stored(Key(MODEL, device.model)) if device.model else None
        if found is None:
            return None
        if device.model and model is None:
            raise Waiting(f"device {key.id} waits for its model {device.model}")
        return _converted(key, lambda: device_message(found, model))

    def _stored(self, key: Key) -> Obj | None:
        namespace, _, name = key.id.partition("/")
        value = rows.value(self._store, resource.build(namespace, key.kind, name))
        if value is None:
            return None
        found = msgspec.json.decode(value)
        return found if isinstance(found, dict) else None


def _converted(key: Key, convert: Any) -> Any:
    try:
        return convert()
    except ValueError as error:
        raise Waiting(f"{key.kind} {key.id} cannot be sent to its mapper: {error}") from None


def _spec(obj: Obj | None) -> Obj | None:
    if obj is None:
        return None
    spec = obj.get("spec")
    return spec if isinstance(spec, dict) else {}


def _text(parent: Any, name: str) -> str:
    value = parent.get(name) if isinstance(parent, dict) else None
    return value if isinstance(value, str) else ""
