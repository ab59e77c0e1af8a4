"""The resource grammar of hub messages (KubeEdge `cloud/pkg/common/messagelayer`).

On the wire a core resource reads `<namespace or null>/<type>[/<name>]`; inside the cloud
`node/<node>/` stands in front of it.
"""

from __future__ import annotations

from typing import NamedTuple

CLUSTER = "null"
"""The namespace token of objects that have none."""


class Resource(NamedTuple):
    """The parts of `<namespace>/<type>[/<name>]`; a missing part is empty."""

    namespace: str
    type: str
    name: str = ""

    def __str__(self) -> str:
        return "/".join(self) if self.name else f"{self.namespace}/{self.type}"


def parse(text: str) -> Resource:
    """Split an edge-form resource by position; what has no second token is a bare type."""
    namespace, _, rest = text.partition("/")
    if not rest:
        return Resource("", namespace)
    kind, _, name = rest.partition("/")
    return Resource(namespace, kind, name)


def build(namespace: str | None, kind: str, name: str = "") -> str:
    """Edge-form resource text; no namespace means cluster scope."""
    return str(Resource(namespace or CLUSTER, kind, name))
