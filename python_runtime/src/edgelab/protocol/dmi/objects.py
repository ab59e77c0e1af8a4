"""Device and DeviceModel of the API as DMI has them (KubeEdge `edge/pkg/devicetwin/dtcommon/util.go`).

A model's defaults (`protocolConfigData`, a property's `visitors`) are merged below the device's own values,
key by key at the top level.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from edgelab.protocol.dmi import api_pb2 as pb
from edgelab.protocol.dmi.values import pack

Obj: TypeAlias = Mapping[str, Any]

_DATABASES = {"TDEngine": "tdengine"}
_SPELLINGS = {
    "hostName": "hostname",
    "requestPath": "requestpath",
    "TDEngineClientConfig": "tdEngineClientConfig",
    "dbName": "dbname",
}
"""Keys of `pushMethod` that the API spells differently."""
_API_SPELLINGS = {here: there for there, here in (_SPELLINGS | _DATABASES).items()}


def model_message(model: Obj) -> Any:
    """A DeviceModel for a mapper. Raises ValueError that names the field."""
    metadata, spec = _object(model, "metadata"), _object(model, "spec")
    message = pb.DeviceModel(
        name=_text(metadata, "metadata", "name"), namespace=_text(metadata, "metadata", "namespace")
    )
    for where, item in _items(spec, "spec", "properties"):
        names = ("name", "description", "type", "accessMode", "minimum", "maximum", "unit")
        message.spec.properties.add(**{name: _text(item, where, name) for name in names})
    message.spec.SetInParent()
    return message


def device_message(device: Obj, model: Obj | None) -> Any:
    """A Device with its model's defaults. Raises ValueError that names the field."""
    metadata, spec = _object(device, "metadata"), _object(device, "spec")
    defaults = _object(model or {}, "spec")
    message = pb.Device(
        name=_text(metadata, "metadata", "name"), namespace=_text(metadata, "metadata", "namespace")
    )
    message.spec.deviceModelReference = _text(_object(spec, "deviceModelRef"), "spec.deviceModelRef", "name")
    protocol = _object(spec, "protocol")
    message.spec.protocol.protocolName = _text(protocol, "spec.protocol", "protocolName")
    data = {**_object(defaults, "protocolConfigData"), **_object(protocol, "configData")}
    pack(message.spec.protocol.configData.data, data, "spec.protocol.configData")
    visitors = {
        item.get("name"): _object(item, "visitors") for _, item in _items(defaults, "spec", "properties")
    }
    for where, item in _items(spec, "spec", "properties"):
        _property(message.spec.properties.add(), item, visitors.get(item.get("name"), {}), where)
    for where, item in _items(spec, "spec", "methods"):
        message.spec.methods.add(
            name=_text(item, where, "name"),
            description=_text(item, where, "description"),
            propertyNames=[str(name) for name in item.get("propertyNames") or ()],
        )
    reporting = spec.get("stateReport") or device.get("status") or {}
    message.status.reportToCloud = reporting.get("reportToCloud") is True
    message.status.reportCycle = _integer(reporting, "spec.stateReport", "reportCycle")
    return message


def _property(target: Any, item: Obj, defaults: Obj, where: str) -> None:
    target.name = _text(item, where, "name")
    desired = _object(item, "desired")
    target.desired.value = _text(desired, f"{where}.desired", "value")
    for key, value in _object(desired, "metadata").items():
        target.desired.metadata[str(key)] = str(value)
    own = _object(item, "visitors")
    target.visitors.protocolName = _text({**defaults, **own}, f"{where}.visitors", "protocolName")
    data = {**_object(defaults, "configData"), **_object(own, "configData")}
    target.visitors.configData.SetInParent()  # mappers of KubeEdge's framework crash without it
    pack(target.visitors.configData.data, data, f"{where}.visitors.configData")
    target.reportCycle = _integer(item, where, "reportCycle")
    target.collectCycle = _integer(item, where, "collectCycle")
    target.reportToCloud = item.get("reportToCloud") is True
    if push := _object(item, "pushMethod"):
        _push(target.pushMethod, push, f"{where}.pushMethod")


def _push(target: Any, push: Obj, where: str) -> None:
    detection = _object(push, "anomalyDetection")
    plain = {
        key: _respelt(value) for key, value in push.items() if key not in ("anomalyDetection", "dbMethod")
    }
    databases = _object(push, "dbMethod")
    if databases:
        plain["dbMethod"] = {_DATABASES.get(key, key): _respelt(value) for key, value in databases.items()}
    from google.protobuf.json_format import ParseDict, ParseError  # noqa: PLC0415 - few devices push

    try:
        ParseDict(plain, target, ignore_unknown_fields=True)
    except ParseError as error:
        raise ValueError(f"{where}: {error}") from None
    if detection:
        pack(target.anomalyDetection.data, detection, f"{where}.anomalyDetection")


def _respelt(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {_SPELLINGS.get(key, key): item if key == "tag" else _respelt(item) for key, item in value.items()}


def push_method(message: Any) -> dict[str, Any]:
    """A PushMethod as the API has it; what `anomalyDetection` holds is left out."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        name = _API_SPELLINGS.get(field.name, field.name)
        if field.name == "anomalyDetection":
            found[name] = {}
        elif field.name == "tag":
            found[name] = dict(value)
        else:
            found[name] = push_method(value) if field.message_type is not None else value
    return found


def _object(parent: Obj, name: str) -> Obj:
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: expected an object")
    return value


def _items(parent: Obj, where: str, name: str) -> list[tuple[str, Obj]]:
    value = parent.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise ValueError(f"{where}.{name}: expected a list of objects")
    return [(f"{where}.{name}[{index}]", item) for index, item in enumerate(value)]


def _text(parent: Obj, where: str, name: str) -> str:
    value = parent.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{where}.{name}: expected text")
    return value


def _integer(parent: Obj, where: str, name: str) -> int:
    value = parent.get(name) or 0
    if not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError(f"{where}.{name}: expected a whole number")
    return value
