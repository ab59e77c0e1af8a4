"""The command line of everything but `edgesite server`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

DATA_DIR = Path("/var/lib/edgesite")
OLD_FLAGS = ("--config", "--minconfig", "--defaultconfig")
OLD_FILE, OLD_PLACE = "conf/edgeSite.yaml", "GOARCHAIUS_CONFIG_PATH"
"""Where the old one looked for its file, below a directory that the environment named."""
TUNNEL_FLAGS = (
    *(f"--{name}-port" for name in ("server", "agent", "admin", "health", "proxy-server")),
    *(f"--{name}" for name in ("proxy-server-host", "cluster-cert", "cluster-key", "cluster-ca-cert")),
    *(
        f"--{name}"
        for name in ("server-ca-cert", "agent-cert", "agent-key", "agent-identifiers", "proxy-strategies")
    ),
)
"""Of apiserver-network-proxy, which KubeEdge calls edgesite-server and edgesite-agent since 1.8."""


def refusal(arguments: list[str]) -> str | None:
    """What to say to someone who calls it as one of KubeEdge's EdgeSites is called; None otherwise."""
    if arguments[:1] == ["agent"] or any(word.partition("=")[0] in TUNNEL_FLAGS for word in arguments):
        return (
            f"{arguments[0]}: KubeEdge's edgesite-server and edgesite-agent are a tunnel to the API"
            " servers of clusters at the edge; this EdgeSite is such a cluster itself, and `edgesite server`"
            " runs it. Reach it by an address that you route, or by `edgesite follow` for a copy of it"
        )
    if not arguments:
        return _file_of_old()
    old = next((word for word in arguments if word.partition("=")[0] in OLD_FLAGS), None)
    if old is None or not arguments[0].startswith("-"):
        return None
    place = arguments.index(old)
    file = old.partition("=")[2] or (arguments[place + 1] if len(arguments) > place + 1 else "FILE")
    name = file if old.startswith("--config") else "edgeSite.yaml"
    return (
        f"{old.partition('=')[0]}: EdgeSite has no configuration file; run `edgesite server`, and"
        f" `edgesite migrate {name}` for what the settings of an old one have become"
    )


def _file_of_old() -> str | None:
    """The old program was started without a word in a directory that had its file."""
    places = (Path(os.environ.get(OLD_PLACE) or "."), Path("."))
    found = next((place / OLD_FILE for place in places if (place / OLD_FILE).exists()), None)
    if found is None:
        return None
    return (
        f"{found} is the file of KubeEdge's old EdgeSite, and is not read: `edgesite migrate {found}` says"
        " what its settings have become, and `edgesite server` runs the API server that it needed"
    )


def operation(commands: argparse._SubParsersAction[Any]) -> None:
    """Add backup, restore, follow, migrate, promote, demote, encryption and check."""
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
    restore.add_argument(
        "--unless-usable",
        action="store_true",
        help="do nothing when this version can use the state that is there",
    )
    restore.add_argument("--check", action="store_true", help="only check the backup")
    follow = _command(commands, "follow", "keep a copy of a running site, always a moment behind it")
    follow.add_argument("site", nargs="?", metavar="URL", help="the site, if it is not the kubeconfig's")
    follow.add_argument("--kubeconfig", type=Path, required=True, metavar="FILE", help="an administrator's")
    follow.add_argument("--force", action="store_true", help="put aside the site that is there")
    follow.add_argument("-v", type=int, default=0, metavar="LEVEL")
    migrate = commands.add_parser("migrate", help="say what an edgeSite.yaml of old KubeEdge has become")
    migrate.add_argument("file", type=Path, metavar="FILE")
    migrate.add_argument("--output", choices=("text", "json"), default="text", help="form of the answer")
    promote = _command(
        commands, "promote", "make a follower's copy a site of its own; then run edgesite server"
    )
    promote.add_argument(
        "--now",
        action="store_true",
        help="stop edgesite-follow.service before and start edgesite.service then, and at every boot",
    )
    _command(commands, "demote", "put the site of this box aside, so that it can follow another one")
    encryption = _command(commands, "encryption", "see or renew how Secrets are encrypted on the disk")
    encryption.add_argument(
        "action",
        choices=("status", "rewrite", "new-key", "retire"),
        help="what is encrypted by what; encrypt all anew; put a new key first in the file of keys; take the"
        " keys out of it that nothing is encrypted by any more",
    )
    encryption.add_argument(
        "--encryption-provider-config",
        type=Path,
        metavar="FILE",
        help="the file of keys: its first provider writes, each of its providers reads",
    )
    encryption.add_argument(
        "--provider",
        choices=("aesgcm", "aescbc", "secretbox"),
        default="aesgcm",
        help="for new-key: what it is a key of",
    )
    encryption.add_argument(
        "--if-needed", action="store_true", help="for new-key: not when such a key is the first one already"
    )
    check = commands.add_parser("check", help="check files that the server would be started with")
    check.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="a site that the file of keys must be able to read"
    )
    check.add_argument("--encryption-provider-config", type=Path, metavar="FILE")
    check.add_argument("--audit-policy-file", type=Path, metavar="FILE")
    check.add_argument("--output", choices=("text", "json"), default="text", help="form of the answer")


def _command(commands: argparse._SubParsersAction[Any], name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, allow_abbrev=False
    )
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR, metavar="DIR")
    parser.add_argument("--output", choices=("text", "json"), default="text", help="form of the answer")
    return parser
