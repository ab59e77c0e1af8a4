"""The program `edgelab-console`."""

from __future__ import annotations

import sys

from edgelab.console.settings import PROGRAM
from edgelab.daemon.main import configure_logging, run
from edgelab.settings.commandline import checked, handle, parser
from edgelab.settings.document import ConfigError


def main() -> int:
    """Serve the page; the exit status."""
    arguments = parser(PROGRAM).parse_args()
    status = handle(PROGRAM, arguments)
    if status is not None:
        return status
    try:
        loaded = checked(PROGRAM, arguments.config, strict=False)
    except ConfigError as error:
        for problem in error.problems:
            print(f"{PROGRAM.name}: {error.source}: {problem}", file=sys.stderr)
        return 1
    configure_logging(arguments.v)
    for warning in loaded.unknown + loaded.outdated:
        print(f"{PROGRAM.name}: {arguments.config}: warning: {warning}", file=sys.stderr)
    from edgelab.console.app import serve  # noqa: PLC0415 - `--check-config` needs no web server

    return run(PROGRAM.name, lambda: serve(loaded.settings))


if __name__ == "__main__":
    sys.exit(main())
