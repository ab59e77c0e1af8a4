"""The program `edgelab-modbus-mapper`."""

from __future__ import annotations

import sys

from edgelab.daemon.errors import Fatal
from edgelab.mappers.modbus.driver import ModbusDevice
from edgelab.mappers.modbus.line import Line
from edgelab.mappers.sdk.app import main
from edgelab.mappers.sdk.extras import need
from edgelab.mappers.sdk.shared import Shared

PROGRAM = "edgelab-modbus-mapper"


def run() -> int:
    """Run the mapper; the exit status."""
    try:
        need("modbus", {"pymodbus": "pymodbus", "serial": "pyserial"})
    except Fatal as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.code
    lines: Shared[Line] = Shared()
    return main(PROGRAM, lambda device: ModbusDevice(device, lines), protocol="modbus")


if __name__ == "__main__":
    sys.exit(run())
