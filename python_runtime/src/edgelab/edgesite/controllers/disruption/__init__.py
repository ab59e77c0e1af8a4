"""PodDisruptionBudgets: how many pods may be evicted now (pkg/controller/disruption)."""

from edgelab.edgesite.controllers.disruption.controller import DisruptionController
from edgelab.edgesite.controllers.disruption.stale import StaleDisruptions

__all__ = ["DisruptionController", "StaleDisruptions"]
