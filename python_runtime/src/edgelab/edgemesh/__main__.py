"""The program `edgemesh-agent`."""

from __future__ import annotations

import sys

from edgelab.daemon.main import configure_logging, run
from edgelab.edgemesh.settings import PROGRAM
from edgelab.settings.commandline import configured, handle, parser


def main() -> int:
    """Serve names and ports of Services; the exit status."""
    flags = parser(PROGRAM)
    flags.add_argument(
        "--clean", action="store_true", help="take away what an agent that was killed has left, and exit"
    )
    arguments = flags.parse_args()
    status = handle(PROGRAM, arguments)
    if status is not None:
        return status
    settings = configured(PROGRAM, arguments.config)
    if settings is None:
        return 1
    configure_logging(arguments.v)
    from edgelab.edgemesh.app import clean, serve  # noqa: PLC0415 - `--check-config` needs none of it

    work = clean if arguments.clean else serve
    return run(PROGRAM.name, lambda: work(settings), plain_loop=True)


if __name__ == "__main__":
    sys.exit(main())
