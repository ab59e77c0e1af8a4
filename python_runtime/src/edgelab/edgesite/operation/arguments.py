"""The command line of everything but `edgesite server`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

DATA_DIR = Path("/var/lib/edgesite")


def operation(commands: argparse._SubParsersAction[Any]) -> None:
    """Add backup, restore, follow and promote."""
    backup = _command(commands, "backup", "write a backup of a site, which may be running")
    backup.add_argument(
        "target", type=Path, metavar="FILE|DIR", help="where to; into DIR with the time as name"
    )
    backup.add_argument("--no-keys", action="store_true", help="leave out the keys and certificates of tls/")
    restore = _command(
        commands, "restore", "put a backup into the data directory of a site that is not running"
    )
    restore.add_argument("source", type=Path, metavar="FILE")
    restore.add_argument(
        "--force", action="store_true", help="replace the state that is there; it is put aside"
    )
    restore.add_argument("--check", action="store_true", help="only check the backup")
    follow = _command(commands, "follow", "keep a copy of a running site, always a moment behind it")
    follow.add_argument("site", nargs="?", metavar="URL", help="the site, if it is not the kubeconfig's")
    follow.add_argument("--kubeconfig", type=Path, required=True, metavar="FILE", help="an administrator's")
    follow.add_argument("--force", action="store_true", help="put aside the site that is there")
    follow.add_argument("-v", type=int, default=0, metavar="LEVEL")
    _command(commands, "promote", "make a follower's copy a site of its own; then run edgesite server")


def _command(commands: argparse._SubParsersAction[Any], name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, allow_abbrev=False
    )
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR, metavar="DIR")
    parser.add_argument("--output", choices=("text", "json"), default="text", help="form of the answer")
    return parser
