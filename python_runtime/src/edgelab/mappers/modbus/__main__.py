"""The program `edgelab-modbus-mapper`."""

from __future__ import annotations

import sys

from edgelab.daemon.errors import Fatal
from edgelab.daemon.extras import require
from edgelab.mappers.modbus.driver import ModbusDevice
from edgelab.mappers.modbus.line import Line
from edgelab.mappers.sdk.app import main
from edgelab.mappers.sdk.shared import Shared

PROGRAM = "edgelab-modbus-mapper"


def run() -> int:
    """Run the mapper; the exit status."""
    try:
        for package in ("pymodbus", "serial"):
            require(package, PROGRAM)
    except Fatal as error:
        print(error, file=sys.stderr)
        return error.code
    lines: Shared[Line] = Shared()
    return main(PROGRAM, lambda device: ModbusDevice(device, lines), protocol="modbus")


if __name__ == "__main__":
    sys.exit(run())
