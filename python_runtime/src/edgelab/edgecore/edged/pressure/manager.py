"""Watches memory, disk and process ids, and makes room (kubelet `eviction/eviction_manager.go`).

Receives nothing; looks every ten seconds. First it reclaims what nobody misses (dead containers, unused
images), then it ends pods, one at a time: those above their requests first, lowest priority first. Static and
critical pods are never ended. Sends: verdicts to edged, events about the node; `conditions` feed the Node.
Stores nothing. When the runtime does not answer it waits for the next look.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import names, podspec
from edgelab.edgecore.edged.pressure import ranking
from edgelab.edgecore.edged.pressure.thresholds import MEMORY, SIGNALS, Judge, Level, Levels, Threshold
from edgelab.edgecore.edged.verdicts import Verdict

log = logging.getLogger(__name__)
Obj = dict[str, Any]

PERIOD = 10.0
"""Seconds between two looks."""

LIMITS_PERIOD = 60.0
"""Seconds between two walks over the volumes of pods with limits: walking costs an SD card time."""

AT_ONCE = 1
"""Grace in seconds of a pod that is ended for a hard threshold or a limit."""

TOLERATED = "node.kubernetes.io/memory-pressure"


class Observer(Protocol):
    """`usage.Usage`, or what a test puts in its place."""

    async def levels(self) -> dict[str, Level]:
        """Available and total of every signal."""
        ...

    async def of_pods(self, pods: Sequence[Obj], *, disk: bool) -> dict[str, ranking.Use]:
        """What pods use, by uid."""
        ...


@dataclass(frozen=True, slots=True)
class Hands:
    """What the manager may do: `end` returns when the pod's containers have ended."""

    pods: Callable[[], list[Obj]]
    end: Callable[[str, Verdict], Awaitable[None]]
    reclaim: Mapping[str, Callable[[], Awaitable[None]]]
    warn_node: Callable[[str, str], None]
    warn_pod: Callable[[Obj, str, str], None]
    changed: Callable[[], None]


class Evictions:
    """`max_grace` in seconds is for soft thresholds; `limits` switches local storage limits on."""

    def __init__(
        self, judge: Judge, observer: Observer, hands: Hands, clock: Clock, *, max_grace: int, limits: bool
    ) -> None:
        self._judge = judge
        self._observer = observer
        self._hands = hands
        self._clock = clock
        self._max_grace = max_grace
        self._limits = limits
        self._walked_at: float | None = None
        self._told: Threshold | None = None
        self._complaint = ""

    @property
    def conditions(self) -> list[str]:
        """MemoryPressure, DiskPressure, PIDPressure: those that are True now."""
        return self._judge.conditions

    def refusal(self, pod: Obj) -> Verdict | None:
        """Why a new pod may not run here now."""
        conditions = self.conditions
        if not conditions or ranking.critical(pod):
            return None
        if conditions == [MEMORY] and (
            podspec.qos_class(pod) != podspec.BEST_EFFORT or _tolerates(pod, TOLERATED)
        ):
            return None
        text = f"The node had condition: [{' '.join(conditions)}]. "
        return Verdict(ranking.REASON, text)

    async def run(self) -> NoReturn:
        """Look for ever; right again after a pod was ended."""
        while True:
            ended = False
            try:
                ended = await self.look()
            except (RuntimeUnreachable, CriError, OSError, ExceptionGroup) as error:
                level = logging.DEBUG if str(error) == self._complaint else logging.WARNING
                log.log(level, "node pressure is not known: %s", error)
                self._complaint = str(error)
            else:
                self._complaint = ""
            await self._clock.sleep(1.0 if ended else PERIOD)

    async def look(self) -> bool:
        """Observe once and do what follows; True when pods were ended."""
        before = self.conditions
        levels = await self._observer.levels()
        due = self._judge.judge(levels, self._clock.monotonic())
        if self.conditions != before:
            log.warning("node conditions: %s", ", ".join(self.conditions) or "no pressure any more")
            self._hands.changed()
        if self._limits and await self._enforce_limits():
            return True
        if not due:
            self._told = None
            return False
        return await self._make_room(due[0], levels)

    async def _make_room(self, threshold: Threshold, levels: Levels) -> bool:
        signal = threshold.signal
        if threshold != self._told:
            resource = SIGNALS[signal].resource
            log.warning("too little %s is available: attempting to reclaim %s", signal, resource)
            self._hands.warn_node("EvictionThresholdMet", f"Attempting to reclaim {resource}")
            self._told = threshold
        reclaim = self._hands.reclaim.get(signal)
        if reclaim is not None:
            await reclaim()
            levels = await self._observer.levels()
            if self._judge.relieved(levels):
                log.info("there is enough %s again, and no pod had to be ended", signal)
                return False
        pods = [pod for pod in self._hands.pods() if not ranking.critical(pod)]
        if not pods:
            return False
        uses = await self._observer.of_pods(pods, disk=signal.startswith(("nodefs", "imagefs")))
        first = ranking.rank(pods, uses, signal)[0]
        text = ranking.message(first, uses.get(names.uid(first)), threshold, levels)
        grace = AT_ONCE if threshold.hard else self._max_grace
        await self._evict(first, Verdict(ranking.REASON, text, grace, disrupted=True))
        return True

    async def _enforce_limits(self) -> bool:
        now = self._clock.monotonic()
        if self._walked_at is not None and now - self._walked_at < LIMITS_PERIOD:
            return False
        self._walked_at = now
        pods = [p for p in self._hands.pods() if ranking.limited(p) and not ranking.critical(p)]
        if not pods:
            return False
        uses = await self._observer.of_pods(pods, disk=True)
        ended = False
        for pod in pods:
            use = uses.get(names.uid(pod))
            if use is not None and (text := ranking.over_limit(pod, use)):
                await self._evict(pod, Verdict(ranking.REASON, text, AT_ONCE))
                ended = True
        return ended

    async def _evict(self, pod: Obj, verdict: Verdict) -> None:
        log.warning("pod %s is evicted: %s", names.key(pod), verdict.message)
        self._hands.warn_pod(pod, ranking.REASON, verdict.message)
        await self._hands.end(names.uid(pod), verdict)


def _tolerates(pod: Obj, key: str) -> bool:
    """Whether a pod tolerates the NoSchedule taint of that key."""
    return any(
        toleration.get("effect") in (None, "", "NoSchedule")
        and (
            toleration.get("key") == key
            or (not toleration.get("key") and toleration.get("operator") == "Exists")
        )
        for toleration in pod["spec"].get("tolerations") or []
    )
