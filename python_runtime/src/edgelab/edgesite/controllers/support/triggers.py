"""What time a change of endpoints goes back to, for those who measure how long it took.

Fact: k8s.io/endpointslice `trigger_time_tracker.go`: the earliest of what has changed since the last look,
the creation of the Service and the moments in which pods became ready or unready.
"""

from __future__ import annotations

from collections.abc import Iterable

from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import condition

ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"


class Triggers:
    """Remembers, for each Service, the last times that it has seen."""

    def __init__(self) -> None:
        self._seen: dict[Key, dict[str, str]] = {}
        """Times by pod; the Service's own has the empty name."""

    def changed(self, key: Key, service: Obj, pods: Iterable[Obj]) -> str | None:
        """The time to write, if anything has changed."""
        now = {"": str(service["metadata"].get("creationTimestamp", ""))}
        for pod in pods:
            ready = condition(pod, "Ready") or {}
            if ready.get("lastTransitionTime"):
                now[pod["metadata"]["name"]] = str(ready["lastTransitionTime"])
        before = self._seen.get(key, {})
        self._seen[key] = now
        return min((time for name, time in now.items() if time > before.get(name, "")), default=None)

    def forget(self, key: Key) -> None:
        """The Service is gone."""
        self._seen.pop(key, None)


def with_time(metadata: Obj, time: str | None) -> Obj:
    """The metadata with the time, or without one."""
    notes = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != ANNOTATION}
    if time:
        notes[ANNOTATION] = time
    kept = {name: value for name, value in metadata.items() if name != "annotations"}
    return {**kept, "annotations": notes} if notes else kept
