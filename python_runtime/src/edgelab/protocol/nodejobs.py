"""The resource of messages about jobs on nodes (KubeEdge `pkg/nodetask/message`).

`operations.kubeedge.io/v1alpha2/<type>/<job>/node/<node>`; the older form is `<type>/<task>/node/<node>`.
"""

from __future__ import annotations

from typing import NamedTuple

SOURCE = GROUP = "taskmanager"
API_VERSION = "operations.kubeedge.io/v1alpha2"
REPORT = "UpdateNodeActionStatus"
"""The operation of what a node reports, from source `websocket` and group `hub`."""


class JobResource(NamedTuple):
    """`type` is the kind in lower case."""

    type: str
    job: str
    node: str

    def __str__(self) -> str:
        return f"{API_VERSION}/{self.type}/{self.job}/node/{self.node}"


def parse(text: str) -> JobResource | None:
    """The parts of a resource; None for any other one."""
    parts = text.split("/")
    if len(parts) != 6 or "/".join(parts[:2]) != API_VERSION or parts[4] != "node" or not all(parts):
        return None
    return JobResource(parts[2], parts[3], parts[5])
