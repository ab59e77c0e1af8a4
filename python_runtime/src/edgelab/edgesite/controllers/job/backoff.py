"""How long a job waits after failures: 10 s, doubling, at most 10 min, until a pod succeeds. No I/O.

Fact: pkg/controller/job/backoff_utils.go.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from edgelab.daemon.clock import parse_rfc3339
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import condition

FIRST_SECONDS, LONGEST_SECONDS = 10.0, 600.0
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED = "batch.kubernetes.io/job-index-ignored-failure-count"


@dataclass(frozen=True, slots=True)
class Record:
    """Failures since the last success, and the last of them."""

    failures: int = 0
    last: dt.datetime | None = None

    def after(self, succeeded: Sequence[Obj], failed: Sequence[Obj]) -> Record:
        """The record after these pods have ended."""
        times = sorted(ended_at(pod) for pod in failed)
        if not succeeded:
            return Record(self.failures + len(times), times[-1]) if times else self
        success = max(ended_at(pod) for pod in succeeded)
        later = [time for time in times if time > success]
        return Record(len(later), later[-1] if later else None)

    def wait(self, now: dt.datetime) -> float:
        """Seconds until the next pod may be made."""
        if not self.failures or self.last is None:
            return 0.0
        delay = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.failures - 1, 10))
        return max(0.0, delay - (now - self.last).total_seconds())


def wait_for_index(last: Obj | None, now: dt.datetime) -> float:
    """Seconds until an index may be tried again, by its last failed pod."""
    if last is None:
        return 0.0
    return Record(failures_of(last) + ignored_of(last) + 1, ended_at(last)).wait(now)


def failures_of(pod: Obj) -> int:
    """How often its index had failed before this pod."""
    return _number(pod, FAILURES)


def ignored_of(pod: Obj) -> int:
    """How many failures of its index did not count."""
    return _number(pod, IGNORED)


def _number(pod: Obj, name: str) -> int:
    value = (pod["metadata"].get("annotations") or {}).get(name, "")
    return int(value) if value.isdecimal() and int(value) < 2**31 else 0


def ended_at(pod: Obj) -> dt.datetime:
    """When the pod ended: its last container, its readiness, its deletion, or at worst its creation."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    if last := _last_container(pod):
        return last
    ready = condition(pod, "Ready")
    if ready is not None and ready["status"] == "False" and ready.get("lastTransitionTime"):
        return parse_rfc3339(ready["lastTransitionTime"])
    if deleted := metadata.get("deletionTimestamp"):
        grace = dt.timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
        return parse_rfc3339(deleted) - grace
    return parse_rfc3339(metadata.get("creationTimestamp") or status.get("startTime", ""))


def _last_container(pod: Obj) -> dt.datetime | None:
    status, sidecars = pod.get("status") or {}, _sidecars(pod)
    counted = list(status.get("containerStatuses") or ())
    counted += [c for c in status.get("initContainerStatuses") or () if c["name"] in sidecars]
    times = []
    for container in counted:
        ended = ((container.get("state") or {}).get("terminated") or {}).get("finishedAt")
        if not ended:
            return None
        times.append(parse_rfc3339(ended))
    return max(times, default=None)


def _sidecars(pod: Obj) -> set[str]:
    containers = pod["spec"].get("initContainers") or ()
    return {item["name"] for item in containers if item.get("restartPolicy") == "Always"}
