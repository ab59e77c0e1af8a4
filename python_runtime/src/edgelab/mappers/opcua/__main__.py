"""The program `edgelab-opcua-mapper`."""

from __future__ import annotations

import logging
import sys

from edgelab.daemon.errors import Fatal
from edgelab.daemon.extras import require
from edgelab.mappers.opcua.driver import OpcuaDevice
from edgelab.mappers.opcua.session import Session
from edgelab.mappers.sdk.app import main
from edgelab.mappers.sdk.shared import Shared

PROGRAM = "edgelab-opcua-mapper"


def run() -> int:
    """Run the mapper; the exit status."""
    try:
        require("asyncua", PROGRAM)
    except Fatal as error:
        print(error, file=sys.stderr)
        return error.code
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # it tells each request; errors we tell
    sessions: Shared[Session] = Shared()
    return main(PROGRAM, lambda device: OpcuaDevice(device, sessions), protocol="opcua")


if __name__ == "__main__":
    sys.exit(run())
