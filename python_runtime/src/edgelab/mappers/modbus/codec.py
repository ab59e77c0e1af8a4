"""Values out of registers and into them: the high byte first, and the highest register first."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from edgelab.mappers.modbus.config import BITS, Place
from edgelab.mappers.sdk.driver import BadValue
from edgelab.mappers.sdk.values import Value

FLOATS = {2: ">f", 4: ">d"}
"""How many registers an IEEE 754 number takes; in one register is a whole number."""


def decode(place: Place, raw: Sequence[int | bool]) -> Value:
    """The value of a property. Raises ValueError when the device has none of its type there."""
    if place.register in BITS:
        return _of_bit(place, bool(raw[0]))
    data = _swapped(place, struct.pack(f">{len(raw)}H", *raw))
    match place.kind:
        case "string":
            return data.rstrip(b"\0 ").decode()
        case "bytes":
            return data
        case "boolean":
            return any(data)
    return _number(place, data)


def _number(place: Place, data: bytes) -> int | float:
    if place.kind != "int" and place.limit in FLOATS:
        return float(struct.unpack(FLOATS[place.limit], data)[0]) * place.scale
    number = int.from_bytes(data, "big", signed=place.signed)
    if place.kind == "int":
        return number if place.scale == 1 else round(number * place.scale)
    return _tidy(number * place.scale)


def encode(place: Place, value: Value) -> list[int]:
    """The registers, or the bit, that a value becomes. Raises BadValue."""
    if place.register in BITS:
        return [_to_bit(value)]
    data = _swapped(place, _bytes(place, value))
    return list(struct.unpack(f">{place.limit}H", data))


def _of_bit(place: Place, bit: bool) -> Value:
    match place.kind:
        case "boolean":
            return bit
        case "int":
            return int(bit)
        case "float" | "double":
            return float(bit)
        case "bytes":
            return bytes([bit])
    return "true" if bit else "false"


def _to_bit(value: Value) -> int:
    known = {"true": 1, "false": 0, "on": 1, "off": 0, "1": 1, "0": 0}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    if not isinstance(value, str | bytes) and value in (0, 1):
        return int(value)
    raise BadValue(f"{value!r}: a coil is 0 or 1")


def _bytes(place: Place, value: Value) -> bytes:
    size = 2 * place.limit
    if isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        if len(data) > size:
            raise BadValue(f"{len(data)} bytes do not fit into {place.limit} registers")
        return data.ljust(size, b"\0")
    if isinstance(value, bool):
        return int(value).to_bytes(size, "big")
    scaled = value if place.scale == 1 else value / place.scale
    try:
        if place.kind != "int" and place.limit in FLOATS:
            return struct.pack(FLOATS[place.limit], scaled)
        return round(scaled).to_bytes(size, "big", signed=place.signed)
    except (OverflowError, struct.error):
        sign = "signed" if place.signed else "unsigned"
        raise BadValue(f"{value} does not fit into {place.limit} registers, {sign}") from None


def _swapped(place: Place, data: bytes) -> bytes:
    """The same with bytes and registers in the other order; twice is as before."""
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if place.swap_bytes:
        words = [word[::-1] for word in words]
    if place.swap_registers:
        words.reverse()
    return b"".join(words)


def _tidy(number: float) -> float:
    """Without what binary fractions add: 23.1 rather than 23.1000000003."""
    return float(f"{number:.12g}")
