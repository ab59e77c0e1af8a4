"""How each kind is printed: the cells of its rows. What the columns are called is in `columns`."""

from __future__ import annotations

from edgelab.edgesite.apiserver.printers import cluster, config, core, requests, usage, workloads
from edgelab.edgesite.apiserver.printers.base import Cells

PRINTERS: dict[tuple[str, str], Cells] = {
    **core.PRINTERS,
    **workloads.PRINTERS,
    **config.PRINTERS,
    **cluster.PRINTERS,
    **requests.PRINTERS,
    **usage.PRINTERS,
}
ORDERS = requests.ORDERS
"""By what a table's rows are sorted, where that is not namespace and name."""

__all__ = ["ORDERS", "PRINTERS", "Cells"]
