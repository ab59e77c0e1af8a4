"""A kubelet's paths as the stream server has them (KubeEdge `cloud/pkg/cloudstream/streamserver.go`).

Which kind of frame carries a request, whose pod it is about, and what a client must be allowed to
(`pkg/kubelet/server/auth.go`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from edgelab.protocol.tunnel import Kind

PAGES = re.compile(
    r"/stats(/summary|/container|/[^/]+/[^/]+|/[^/]+/[^/]+/[^/]+/[^/]+)?"
    r"|/metrics(/cadvisor|/probes|/resource)?"
)
OF_PROXY = re.compile(r"/api/v1/nodes/([^/]+)/proxy(/.*)?")
"""`X-Forwarded-Uri` of a request that came through the API server's proxy of a node."""
UPGRADES = {"exec": Kind.EXEC, "attach": Kind.ATTACH, "portForward": Kind.EXEC}
METHODS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


class Target(NamedTuple):
    """What a path means. `pod` is empty for what is about the node; `resource` is a subresource of nodes."""

    kind: Kind
    namespace: str = ""
    pod: str = ""
    resource: str = "proxy"

    @property
    def is_upgrade(self) -> bool:
        """Whether the connection becomes another protocol's."""
        return self.kind in (Kind.EXEC, Kind.ATTACH)

    def verb(self, method: str) -> str:
        """What of nodes/<resource> a client must be allowed. A WebSocket begins with GET, and still is no
        reading."""
        return "create" if self.is_upgrade else METHODS.get(method, "get")


def target(method: str, path: str) -> Target | None:
    """None for a path that nobody serves, and for a method that it does not have."""
    match path.strip("/").split("/"):
        case ["containerLogs", namespace, pod, container] if container and method == "GET":
            return Target(Kind.LOGS, namespace, pod)
        case ["exec" | "attach" as what, namespace, pod, *rest] if len(rest) in (1, 2):
            return Target(UPGRADES[what], namespace, pod) if method in ("GET", "POST") else None
        case ["portForward", namespace, pod, *rest] if len(rest) < 2:
            return Target(Kind.EXEC, namespace, pod) if method in ("GET", "POST") else None
    if method == "GET" and PAGES.fullmatch(path.rstrip("/")):
        return Target(Kind.METRICS, resource="stats" if path.startswith("/stats") else "metrics")
    return None


def proxied_node(uri: str) -> str:
    """The node that an `X-Forwarded-Uri` names; empty when it names none."""
    found = OF_PROXY.match(uri)
    return found[1] if found else ""
