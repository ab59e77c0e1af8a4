"""How each kind is printed: the cells of its rows. What the columns are called is in `columns`."""

from __future__ import annotations

from edgelab.edgesite.apiserver.printers import cluster, config, core, workloads
from edgelab.edgesite.apiserver.printers.base import Cells

PRINTERS: dict[tuple[str, str], Cells] = {
    **core.PRINTERS,
    **workloads.PRINTERS,
    **config.PRINTERS,
    **cluster.PRINTERS,
}

__all__ = ["PRINTERS", "Cells"]
