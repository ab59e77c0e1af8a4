"""`python -m edgelab.identity COMMAND`: the edge's short-lived child that deals with keys.

Tokens come on standard input (never in argv). One line on stderr and an exit status of
`edgelab.identity.enrol.Code` when it fails.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgelab.daemon.errors import Fatal
from edgelab.identity import serving
from edgelab.identity.enrol import NODES_GROUP, USER_PREFIX, Code, Request, enrol, has_identity, renew


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = _parser().parse_args(arguments)
    if options.command in ("request", "verify"):
        return _serve(options)
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


def _serve(options: argparse.Namespace) -> int:
    """What the MetaServer needs: a key with a request for its certificate, and signatures of tokens."""
    try:
        if options.command == "verify":
            serving.verify(sys.stdin.read(1 << 16).strip(), options.key_file)
        else:
            made = serving.request(USER_PREFIX + options.node, NODES_GROUP, options.ip, options.key_file)
            print(made.decode(), end="")
    except Fatal as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return Code.FAILED
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
    command = commands.add_parser("request", help="make a key and print a request for a serving certificate")
    command.add_argument("--node", required=True, metavar="NAME")
    command.add_argument("--ip", required=True, action="append", metavar="ADDRESS")
    command.add_argument("--key-file", required=True, type=Path, metavar="FILE")
    command = commands.add_parser("verify", help="check the signature of a token (standard input)")
    command.add_argument("--key-file", required=True, action="append", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
