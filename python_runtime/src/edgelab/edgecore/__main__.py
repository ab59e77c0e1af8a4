"""`edgecore --config /etc/kubeedge/config/edgecore.yaml`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from edgelab.daemon.deferred import defer
from edgelab.settings.commandline import checked, complain, handle, parser
from edgelab.settings.document import ConfigError
from edgelab.settings.edgecore import PROGRAM

log = logging.getLogger("edgelab.edgecore")

UNUSED = ("google.protobuf.internal.python_message", "importlib.metadata", "urllib.request")
"""What protobuf (its implementation in Python), websockets (its version) and paho (proxies) import for cases
that are not ours: 2.7 MiB with what those import in turn."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the settings and run; the exit status."""
    options = parser(PROGRAM).parse_args(arguments)
    status = handle(PROGRAM, options)
    if status is not None:
        return status
    defer(*UNUSED)
    from edgelab.daemon.main import configure_logging, run  # noqa: PLC0415 - printing flags need no event loop
    from edgelab.edgecore.app import serve  # noqa: PLC0415

    configure_logging(options.v)
    try:
        loaded = checked(PROGRAM, options.config, strict=False)
    except ConfigError as error:
        complain(PROGRAM, error)
        return 1
    for problem in loaded.outdated + loaded.unknown:
        log.warning("%s: %s", options.config, problem)
    settings = loaded.settings
    del loaded
    return run("edgecore", lambda: serve(settings, config=str(options.config)))


if __name__ == "__main__":
    sys.exit(main())
