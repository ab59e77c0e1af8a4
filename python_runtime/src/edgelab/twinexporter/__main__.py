"""The program `edgelab-twinexporter`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgelab import __version__
from edgelab.daemon.main import configure_logging, run

DEFAULT_URL = "http://127.0.0.1:8428/write"
DEFAULT_KUBE_CONFIG = Path("/etc/edgelab/admin.kubeconfig")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    flags = argparse.ArgumentParser(
        prog="edgelab-twinexporter",
        description="Writes what devices report into databases: by Influx line protocol, as rows.",
        allow_abbrev=False,
    )
    flags.add_argument("--kube-config", type=Path, default=DEFAULT_KUBE_CONFIG, metavar="FILE")
    flags.add_argument(
        "--url",
        dest="urls",
        action="append",
        metavar="URL",
        help=f"where lines are written to, for each database once (default: {DEFAULT_URL}); '' for none",
    )
    flags.add_argument("--listen", default="", metavar="HOST:PORT", help="serve /healthz and /metrics there")
    flags.add_argument("--namespace", default="", help="only devices of this namespace")
    flags.add_argument("--queue", type=int, default=100_000, metavar="LINES", help="lines kept while offline")
    flags.add_argument(
        "--postgresql-dsn-file",
        type=Path,
        metavar="FILE",
        help="write rows to the PostgreSQL database that this file (mode 0600) names",
    )
    flags.add_argument("--state-dir", type=Path, metavar="DIR", help="keep a checkpoint there")
    flags.add_argument(
        "--device-metrics",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="serve the values of device twins at /metrics",
    )
    flags.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return flags


def main() -> int:
    """Run the exporter; the exit status."""
    arguments = parser().parse_args()
    arguments.urls = [DEFAULT_URL] if arguments.urls is None else arguments.urls
    configure_logging()
    from edgelab.twinexporter.app import Options, serve  # noqa: PLC0415 - `--help` needs no HTTP client

    return run("edgelab-twinexporter", lambda: serve(Options(**vars(arguments))))


if __name__ == "__main__":
    sys.exit(main())
