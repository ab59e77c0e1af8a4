"""The program `edgelab-console`."""

from __future__ import annotations

import sys

from edgelab.console.settings import PROGRAM
from edgelab.daemon.main import configure_logging, run
from edgelab.settings.commandline import configured, handle, parser


def main() -> int:
    """Serve the page; the exit status."""
    arguments = parser(PROGRAM).parse_args()
    status = handle(PROGRAM, arguments)
    if status is not None:
        return status
    settings = configured(PROGRAM, arguments.config)
    if settings is None:
        return 1
    configure_logging(arguments.v)
    from edgelab.console.app import serve  # noqa: PLC0415 - `--check-config` needs no web server

    return run(PROGRAM.name, lambda: serve(settings))


if __name__ == "__main__":
    sys.exit(main())
