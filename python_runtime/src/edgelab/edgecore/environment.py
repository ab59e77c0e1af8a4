"""Whether this machine can be an edge node (KubeEdge `edge/cmd/edgecore/app/server.go`)."""

from __future__ import annotations

import os
from pathlib import Path

from edgelab.daemon.errors import Fatal

VARIABLE = "CHECK_EDGECORE_ENVIRONMENT"


def check(*, meta_server: bool, processes: Path = Path("/proc")) -> None:
    """Refuse to run beside a kubelet, as both would drive the same containers. Raises Fatal."""
    if meta_server or os.environ.get(VARIABLE, "").lower() == "false":
        return
    for comm in processes.glob("[0-9]*/comm"):
        try:
            name = comm.read_text(encoding="utf-8").strip()
        except OSError:  # the process is gone
            continue
        if name == "kubelet":
            raise Fatal(
                f"a kubelet runs on this machine (process {comm.parent.name}), and both would manage its "
                f"containers; stop it, or set {VARIABLE}=false to run EdgeCore all the same"
            )
