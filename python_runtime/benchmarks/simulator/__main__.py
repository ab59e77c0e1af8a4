"""`python -m benchmarks.simulator`: simulated edge nodes for a CloudCore, and what they cost.

Every node has a client certificate from the authority in --ca-dir (rootCA.crt, rootCA.key: the files that
CloudCore's `tlsCAFile` and `tlsCAKeyFile` name; made when they are missing).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import time
from pathlib import Path

from benchmarks.processes import Usage
from benchmarks.simulator.credentials import authority
from benchmarks.simulator.fleet import Fleet
from benchmarks.simulator.node import Behaviour

COUNTED = ("leases", "acknowledged", "twins", "lost", "failures", "refused")


def arguments() -> argparse.Namespace:
    """The command line."""
    flags = argparse.ArgumentParser(
        prog="benchmarks.simulator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--cloudcore", required=True, metavar="HOST:PORT", help="CloudHub's WebSocket port")
    flags.add_argument("--ca-dir", required=True, type=Path, help="rootCA.crt and rootCA.key")
    flags.add_argument("--nodes", type=int, default=1000)
    flags.add_argument("--prefix", default="sim-", help="nodes are called PREFIX0, PREFIX1 ...")
    flags.add_argument("--seconds", type=float, default=60, help="how long, once all have connected")
    flags.add_argument("--at-once", type=int, default=64, help="handshakes side by side")
    flags.add_argument("--lease", type=float, default=10, help="seconds between renewals of a node's lease")
    flags.add_argument("--status", type=float, default=300, help="seconds between reports of a node's status")
    flags.add_argument(
        "--twins", type=float, default=0, help="seconds between reports of a device; 0 for none"
    )
    flags.add_argument("--connections-only", action="store_true", help="no Node, no lease: keepalives only")
    flags.add_argument(
        "--run-pods", action="store_true", help="report pods Running, end those that are deleted"
    )
    return flags.parse_args()


async def main(options: argparse.Namespace) -> int:
    """Connect, speak, print; gives the exit status: 1 when a session was lost on the way."""
    behaviour = Behaviour(
        registers=not options.connections_only,
        lease=options.lease,
        status=options.status,
        twins=options.twins,
        runs_pods=options.run_pods,
    )
    fleet = Fleet(options.cloudcore, authority(options.ca_dir), behaviour, prefix=options.prefix)
    nodes = fleet.add(options.nodes)
    own = Usage(os.getpid())
    async with fleet.alive():
        began = time.monotonic()
        await fleet.connect(nodes, at_once=options.at_once)
        took = time.monotonic() - began
        print(f"{options.nodes} connections in {took:.1f} s, {options.nodes / took:.0f}/s", flush=True)
        await report(fleet, own, options.seconds)
    return 1 if fleet.counts["lost"] else 0


async def report(fleet: Fleet, own: Usage, seconds: float) -> None:
    """A line every five seconds; the last one is over the whole time."""
    end = time.monotonic() + seconds
    own.begin()
    while (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(5, left))
        counted = " ".join(f"{name} {fleet.counts[name]}" for name in COUNTED)
        print(
            f"sessions {len(fleet.links)} registered {fleet.registered} {counted};"
            f" simulator: {own.share():.0f} % of a core, {own.resident():.0f} MiB",
            flush=True,
        )


def allow_files(wanted: int) -> None:
    """Raise the limit of open files; a connection is one. Ends the program when it is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        sys.exit(f"{wanted} open files are needed and {hard} allowed: `ulimit -n {wanted}`")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run() -> int:
    """On uvloop where it is installed, as the daemons do."""
    options = arguments()
    allow_files(options.nodes + 256)
    try:
        import uvloop  # noqa: PLC0415 - optional, as for the daemons
    except ImportError:
        return asyncio.run(main(options))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main(options))


if __name__ == "__main__":
    sys.exit(run())
