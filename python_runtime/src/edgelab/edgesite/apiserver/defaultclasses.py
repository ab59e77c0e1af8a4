"""Classes for those who name none: Ingresses (plugin `DefaultIngressClass`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.store import Store

Obj = dict[str, Any]

CLASSES = "networking.k8s.io/ingressclasses"
MARK, OLD_WAY = "ingressclass.kubernetes.io/is-default-class", "kubernetes.io/ingress.class"


def give_class(store: Store, ingress: Obj) -> None:
    """The newest class that is marked as the default one, unless the Ingress has one of its own."""
    annotated = OLD_WAY in (ingress["metadata"].get("annotations") or {})
    spec = ingress.get("spec") or {}
    if annotated or spec.get("ingressClassName") is not None:
        return
    classes = [codec.decode(entry.data)["metadata"] for entry in store.heads(CLASSES)]
    marked = [found for found in classes if (found.get("annotations") or {}).get(MARK) == "true"]
    marked.sort(key=lambda metadata: str(metadata["name"]))
    if marked:
        newest = max(marked, key=lambda metadata: str(metadata["creationTimestamp"]))
        ingress["spec"] = {**spec, "ingressClassName": newest["name"]}
