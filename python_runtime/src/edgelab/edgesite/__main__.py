"""`edgesite server`: the embedded control plane; and what an operator does with it."""

from __future__ import annotations

import sys

from edgelab import __version__
from edgelab.daemon.errors import Fatal
from edgelab.daemon.main import configure_logging
from edgelab.daemon.main import run as run_daemon
from edgelab.edgesite.operation.arguments import refusal
from edgelab.edgesite.settings import from_arguments, parser


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run; gives the exit status."""
    told = refusal(sys.argv[1:] if arguments is None else arguments)
    if told is not None:
        print(f"edgesite: {told}", file=sys.stderr)
        return 2
    flags = parser()
    given = flags.parse_args(arguments)
    if given.version:
        print(f"edgesite {__version__}")
        return 0
    if given.command is None:
        flags.print_help(sys.stderr)
        return 2
    if given.command != "server":
        from edgelab.edgesite.operation import commands  # noqa: PLC0415 - the server need not load them

        return commands.run(given)
    try:
        settings = from_arguments(given)
    except Fatal as error:
        print(f"edgesite: {error}", file=sys.stderr)
        return error.code
    configure_logging(settings.verbosity)
    from edgelab.edgesite.app import run  # noqa: PLC0415 - --version and --help need not load the server

    return run_daemon("edgesite", lambda: run(settings))


if __name__ == "__main__":
    sys.exit(main())
