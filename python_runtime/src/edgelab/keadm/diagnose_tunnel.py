"""CloudStream's port as an edge node sees it: without it neither logs nor commands reach the node's pods."""

from __future__ import annotations

import socket
from typing import Any

from edgelab.keadm.diagnose_findings import Finding, failed, ok, warning

CODE = "EDGE-CLOUD-TUNNEL"
CONNECT_SECONDS = 3
ON_THE_CLOUD = "on the cloud host modules.cloudStream.enable (cloudcore_stream), and its firewall"


def configured(stream: Any) -> Finding:
    """The server that edgecore.yaml names; `stream` is modules.edgeStream."""
    if not stream.enable:
        return ok(CODE, "modules.edgeStream is off: no tunnel is wanted")
    problem = unreached(stream.server)
    if not problem:
        return ok(CODE, f"{stream.server} answers", stream.server)
    return failed(CODE, f"no logs, no commands: {problem}", ON_THE_CLOUD, stream.server)


def expected(host: str, port: int) -> Finding:
    """Where a node that joins would dial; it could join without."""
    server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    problem = unreached(server)
    if not problem:
        return ok(CODE, f"{server} answers", server)
    fix = f"{ON_THE_CLOUD}; or join with --set modules.edgeStream.enable=false"
    return warning(CODE, f"logs and commands would not reach this node: {problem}", fix, server)


def unreached(server: str) -> str:
    """Why there is no connection to HOST:PORT; empty when there is one."""
    host, _, port = server.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        return f"no connection to {server} ({getattr(error, 'strerror', None) or error})"
    return ""
