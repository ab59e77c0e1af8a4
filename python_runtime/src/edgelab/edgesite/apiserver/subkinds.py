"""The kinds of subresources that are not the resource's own: Scale, Binding, Eviction, TokenRequest."""

from __future__ import annotations

from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.schema import Catalogue
from edgelab.kube.interface import Resource

OTHERS = {
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "scale": ("autoscaling", "v1", "Scale"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}


class Subkinds:
    """Made once."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._kinds = {
            name: Kind(
                Resource(group, version, name, kind, namespaced=True),
                catalogue.kind(group, version, kind),
                singular="",
            )
            for name, (group, version, kind) in OTHERS.items()
        }

    def of(self, kind: Kind, subresource: str) -> Kind:
        """What is sent to a subresource of a kind."""
        return self._kinds.get(subresource, kind)
