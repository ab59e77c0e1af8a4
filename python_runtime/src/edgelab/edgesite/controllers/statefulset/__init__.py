"""StatefulSets: pods with names, places and volumes of their own (pkg/controller/statefulset)."""

from edgelab.edgesite.controllers.statefulset.controller import StatefulSetController

__all__ = ["StatefulSetController"]
