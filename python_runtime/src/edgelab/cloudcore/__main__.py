"""`cloudcore --config F`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from edgelab.daemon.main import configure_logging, run
from edgelab.settings.cloudcore import PROGRAM
from edgelab.settings.commandline import checked, handle, parser
from edgelab.settings.document import ConfigError

log = logging.getLogger("edgelab.cloudcore")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the daemon; the exit status."""
    options = parser(PROGRAM).parse_args(arguments)
    status = handle(PROGRAM, options)
    if status is not None:
        return status
    configure_logging(options.v)
    try:
        loaded = checked(PROGRAM, options.config, strict=False)
    except ConfigError as error:
        print(f"cloudcore: {error}", file=sys.stderr)
        return 1
    for problem in (*loaded.unknown, *loaded.outdated):
        log.warning("%s: %s", options.config, problem)
    from edgelab.cloudcore import app  # noqa: PLC0415 - printing a configuration needs none of it

    return run("cloudcore", lambda: app.main(loaded.settings))


if __name__ == "__main__":
    sys.exit(main())
