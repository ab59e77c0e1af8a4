"""crictl's stand-in for the static pods that the kubelet's stand-in runs as units."""

from __future__ import annotations

import argparse
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

from standin.kubelet import DATA, STATIC, is_running

CONTAINERS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-vip")


def main() -> int:
    """The parts of crictl that role kubeadm asks."""
    parser = argparse.ArgumentParser(prog="crictl", allow_abbrev=False)
    parser.add_argument("--runtime-endpoint", required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("ps", allow_abbrev=False)
    listing.add_argument("--quiet", action="store_true", required=True)
    listing.add_argument("--name", required=True)
    listing.add_argument("--state", choices=["running"])
    commands.add_parser("stop", allow_abbrev=False).add_argument("containers", nargs="+")
    inside = commands.add_parser("exec", allow_abbrev=False)
    inside.add_argument("container", choices=["etcd"])
    inside.add_argument("words", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.command == "ps":
        # etcd and the API server are one process here, see kubelet.py.
        found = [
            name for name in CONTAINERS if is_running("kube-apiserver") and re.search(options.name, name)
        ]
        print("\n".join(found))
    elif options.command == "stop":
        subprocess.run(["systemctl", "stop", STATIC + "kube-apiserver"], check=False)
    else:
        return snapshot(options.words)
    return 0


def snapshot(words: list[str]) -> int:
    """`etcdctl ... snapshot save FILE`: a consistent copy of the API server's data."""
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    wanted = {"--endpoints", "--cacert", "--cert", "--key"}
    if words[0] != "etcdctl" or words[-3:-1] != ["snapshot", "save"] or flags != wanted:
        print(f"crictl: the stand-in of etcd does not know {words}", file=sys.stderr)
        return 1
    with closing(sqlite3.connect(DATA / "state.db")) as source, closing(sqlite3.connect(words[-1])) as target:
        source.backup(target)
    return 0
