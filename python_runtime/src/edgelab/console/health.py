"""Whether what the page shows is up to date: the API server followed, the database answering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from edgelab.console.cluster import Cluster
from edgelab.console.series import Series
from edgelab.daemon.clock import SYSTEM, Clock

LOOK_SECONDS = 1.0
State: TypeAlias = dict[str, Any]


class Health:
    """A module: looks once a second, and tells its listeners when something became worse or better."""

    name = "health"

    def __init__(self, cluster: Cluster, series: Series, clock: Clock = SYSTEM) -> None:
        self._cluster = cluster
        self._series = series
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        self._last: State = {}

    def state(self) -> State:
        """What is wrong, for people, and what time it is here, for ages (milliseconds)."""
        return {**self._now(), "time": int(self._clock.now().timestamp() * 1000)}

    def parts(self) -> list[str]:
        """Names of what is not well, without the reasons."""
        found = [plural for plural, _ in self._cluster.troubles()]
        return [*found, *(["time series"] if self._series.trouble else [])]

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await self._clock.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Tell the listeners when the state differs from that of the last look."""
        now = self._now()
        if now != self._last:
            self._last = now
            for listener in list(self._listeners):
                listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Tell `listener` of every change from now on."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[], None]) -> None:
        """Tell it no longer."""
        self._listeners.remove(listener)

    def _now(self) -> State:
        return {
            "cluster": [{"what": what, "why": why} for what, why in self._cluster.troubles()],
            "series": {"used": self._series.used, "why": self._series.trouble},
        }
