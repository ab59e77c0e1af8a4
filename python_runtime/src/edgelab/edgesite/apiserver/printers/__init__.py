"""How each kind is printed."""

from __future__ import annotations

from edgelab.edgesite.apiserver.printers import cluster, config, core, workloads
from edgelab.edgesite.apiserver.printers.base import GENERIC, Printer

PRINTERS: dict[tuple[str, str], Printer] = {
    ("", ""): GENERIC,
    **core.PRINTERS,
    **workloads.PRINTERS,
    **config.PRINTERS,
    **cluster.PRINTERS,
}

__all__ = ["PRINTERS", "Printer"]
