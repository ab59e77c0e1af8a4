"""`configData` as it travels: a scalar in a wrapper of google.protobuf, packed into Any.

KubeEdge's EdgeCore (`edge/pkg/devicetwin/dtcommon/util.go`) sends every JSON number as a 32-bit FloatValue,
and existing mappers take them as that; integers beyond 2^24 lose digits on the way. Receivers take every
wrapper that has a plain value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf import wrappers_pb2 as wrappers

Scalar: TypeAlias = bool | int | float | str

_WRAPPERS = (
    wrappers.StringValue,
    wrappers.BoolValue,
    wrappers.FloatValue,
    wrappers.DoubleValue,
    wrappers.Int32Value,
    wrappers.Int64Value,
    wrappers.UInt32Value,
    wrappers.UInt64Value,
)
OBJECTS = ("com", "tcp", "customizedValues")
"""Objects in v1alpha2's `protocol.common`: their fields go as `com.baudRate`. Any other is refused."""
_LARGEST_FLOAT = 3.4028234663852886e38


def pack(target: Any, values: Mapping[str, Any], where: str) -> None:
    """Put values into a map of Any. Raises ValueError that names the key under `where`."""
    for key, value in values.items():
        if key in OBJECTS and isinstance(value, Mapping):
            pack(target, {f"{key}.{inner}": found for inner, found in value.items()}, where)
            continue
        target[key].Pack(_wrapped(value, f"{where}.{key}"))


def unpack(source: Mapping[str, Any]) -> dict[str, Scalar]:
    """The values of a map of Any. Raises ValueError that names the key of what is no scalar."""
    return {key: _plain(value, key) for key, value in source.items()}


def _wrapped(value: Any, where: str) -> Any:
    if isinstance(value, bool):
        return wrappers.BoolValue(value=value)
    if isinstance(value, str):
        return wrappers.StringValue(value=value)
    if isinstance(value, int | float):
        if abs(value) > _LARGEST_FLOAT:
            raise ValueError(
                f"{where}: {value} does not fit into 32 bits, which is what DMI has for a number"
            )
        return wrappers.FloatValue(value=value)
    kind = "null" if value is None else "a list" if isinstance(value, list) else "an object"
    raise ValueError(f"{where}: {kind} cannot be sent to a mapper, only text, numbers and true or false")


def _plain(value: Any, key: str) -> Scalar:
    for wrapper in _WRAPPERS:
        if value.Is(wrapper.DESCRIPTOR):
            message = wrapper()
            value.Unpack(message)
            plain: Scalar = message.value
            return _shortest(plain) if wrapper is wrappers.FloatValue else plain
    raise ValueError(f"{key}: {value.type_url or 'nothing'} is no plain value")


def _shortest(value: Any) -> float | int:
    """What was meant by a 32-bit number: 0.1 rather than 0.10000000149011612, 3 rather than 3.0."""
    number = float(value)
    if number.is_integer() and abs(number) < 2**24:
        return int(number)
    return float(f"{number:.7g}")
