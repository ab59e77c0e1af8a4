"""What `configData` of devices and visitors says, in the words of all of KubeEdge's generations.

v1alpha2's `protocol.modbus` and `protocol.common` and the keys of mappers-go
(`mappers/kubeedge-v1.15.0/modbus/driver/devicetype.go`) are known by the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgelab.mappers.sdk.fields import Fields
from edgelab.mappers.sdk.model import Device, Property

COIL, DISCRETE, INPUT, HOLDING = (
    "CoilRegister",
    "DiscreteInputRegister",
    "InputRegister",
    "HoldingRegister",
)
REGISTERS = (COIL, DISCRETE, INPUT, HOLDING)
BITS = (COIL, DISCRETE)
MOST_REGISTERS = 125
"""In one answer (Modbus Application Protocol V1.1b3, 6.3)."""
DEFAULT_TIMEOUT, LONGEST_TIMEOUT = 2.0, 5.0
LIMITS = {"int": 1, "boolean": 1, "float": 2, "double": 4}
"""Registers of a type whose visitor has no `limit`."""
ALLOWED = {"int": (1, 2, 4), "boolean": (1,), "float": (1, 2, 4), "double": (1, 2, 4)}


@dataclass(frozen=True, slots=True)
class Tcp:
    """Where a server listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Serial:
    """A serial line as its devices are set."""

    path: str
    baud: int
    bits: int
    parity: Literal["N", "E", "O"]
    stop: int


@dataclass(frozen=True, slots=True)
class Target:
    """A device: its line, its number on it, and seconds until it has answered."""

    line: Tcp | Serial
    slave: int
    timeout: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a property is in the device, and how its value is written there."""

    register: str
    offset: int
    limit: int
    scale: float
    swap_bytes: bool
    swap_registers: bool
    signed: bool
    kind: str

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.offset + self.limit


def target(device: Device) -> Target:
    """How a device is reached. Raises ValueError that names the field."""
    fields = Fields(device.config, "configData")
    serial = fields.has("serialPort", "serialName")
    mode = fields.choice("communicateMode", among=("TCP", "RTU"), default="RTU" if serial else "TCP")
    line = _serial(fields) if mode == "RTU" else _tcp(fields)
    slave = fields.whole("slaveID", low=1 if mode == "RTU" else 0, high=247 if mode == "RTU" else 255)
    timeout = fields.number("timeout", default=DEFAULT_TIMEOUT)
    if not timeout > 0:
        raise fields.wrong("timeout", f"{timeout:g}: expected more than 0 seconds")
    return Target(line, slave, min(timeout, LONGEST_TIMEOUT))


def _tcp(fields: Fields) -> Tcp:
    return Tcp(fields.text("ip"), fields.whole("port", low=1, high=65535, default=502))


def _serial(fields: Fields) -> Serial:
    parity = fields.choice("parity", among=("none", "even", "odd", "N", "E", "O"), default="none")
    letters: dict[str, Literal["N", "E", "O"]] = {"n": "N", "e": "E", "o": "O"}
    return Serial(
        path=fields.text("serialPort", "serialName"),
        baud=fields.whole("baudRate", low=50, high=4_000_000, default=9600),
        bits=fields.whole("dataBits", low=5, high=8, default=8),
        parity=letters[parity[0].lower()],
        stop=fields.whole("stopBits", low=1, high=2, default=1),
    )


def place(prop: Property) -> Place:
    """Where a property is. Raises ValueError that names the property and the field."""
    fields = Fields(prop.visitor, f"property {prop.name}: configData")
    if prop.type == "stream":
        raise ValueError(f"property {prop.name}: type STREAM cannot be read by Modbus")
    register = fields.choice("register", among=REGISTERS)
    offset = fields.whole("offset", low=0, high=65535)
    bits = register in BITS
    limit = fields.whole("limit", low=1, high=MOST_REGISTERS, default=1 if bits else LIMITS.get(prop.type))
    allowed = (1,) if bits else ALLOWED.get(prop.type, range(1, MOST_REGISTERS + 1))
    if limit not in allowed:
        what = register if bits else prop.type.upper()
        raise fields.wrong("limit", f"{limit}: {what} takes {' or '.join(map(str, allowed))}")
    if offset + limit > 65536:
        raise fields.wrong("offset", f"{offset}: the last address is 65535")
    scale = fields.number("scale", default=1.0)
    if not 0 < abs(scale) < float("inf"):
        raise fields.wrong("scale", f"{scale:g}: expected a finite number other than 0")
    return Place(
        register=register,
        offset=offset,
        limit=limit,
        scale=scale,
        swap_bytes=fields.flag("isSwap"),
        swap_registers=fields.flag("isRegisterSwap"),
        signed=fields.flag("signed", default=not _from_zero(prop)),
        kind=prop.type,
    )


def _from_zero(prop: Property) -> bool:
    """Whether the model says that there are no negative values."""
    try:
        return float(prop.minimum) >= 0
    except ValueError:
        return False
