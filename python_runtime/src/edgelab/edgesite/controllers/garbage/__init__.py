"""Objects whose owners are gone, and deletions that follow owners (pkg/controller/garbagecollector)."""

from edgelab.edgesite.controllers.garbage.collector import GarbageCollector

__all__ = ["GarbageCollector"]
