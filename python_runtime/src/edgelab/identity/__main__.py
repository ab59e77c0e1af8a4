"""`python -m edgelab.identity enrol|renew`: the edge's short-lived child that deals with keys.

The join token comes on standard input (never in argv). One line on stderr and an exit status of
`edgelab.identity.enrol.Code` when it fails.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgelab.daemon.errors import Fatal
from edgelab.identity.enrol import Code, Request, enrol, has_identity, renew


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = _parser().parse_args(arguments)
    request = Request(options.server, options.node, options.ca_file, options.cert_file, options.key_file)
    try:
        _run(options, request)
    except Fatal as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return error.code
    except OSError as error:
        print(f"{options.command}: {error.filename}: {error.strerror}", file=sys.stderr)
        return Code.FAILED
    return 0


def _run(options: argparse.Namespace, request: Request) -> None:
    if options.command == "renew":
        renew(request)
    elif options.command == "check":
        if not has_identity(request):
            raise Fatal(f"no usable certificate for {request.node} in {request.cert_file}")
    else:
        source = options.token_file
        enrol(request, source.read_text(encoding="utf-8") if source else sys.stdin.read(4096))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edgelab.identity", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("enrol", "get a certificate with a join token (standard input, or --token-file)"),
        ("renew", "get a new certificate with the present one"),
        ("check", "finish an interrupted write; fail when there is no certificate for the node"),
    ):
        command = commands.add_parser(name, help=text, allow_abbrev=False)
        command.add_argument("--server", required=name != "check", default="", metavar="https://HOST:10002")
        command.add_argument("--node", required=True, metavar="NAME")
        for file in ("ca", "cert", "key"):
            command.add_argument(f"--{file}-file", required=True, type=Path, metavar="FILE")
        if name == "enrol":
            command.add_argument("--token-file", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
