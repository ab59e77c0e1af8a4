"""Why containers of one pod are not started now, and when the next attempt is due (kubelet `doBackOff`)."""

from __future__ import annotations

import logging
from typing import Any

from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import names, podspec
from edgelab.edgecore.edged.events import Recorder
from edgelab.edgecore.edged.problems import ContainerProblem
from edgelab.edgecore.edged.restarts import Backoff
from edgelab.edgecore.edged.state import EXITED, Container

log = logging.getLogger(__name__)
Obj = dict[str, Any]

RETRY = 10.0
"""Seconds until something is tried again whose cure nobody announces."""


class Attempts:
    """The containers of one pod that wait. `waiting` holds the reason by name."""

    def __init__(self, clock: Clock, crashes: Backoff, events: Recorder) -> None:
        self._clock = clock
        self._crashes = crashes
        self._events = events
        self.waiting: dict[str, ContainerProblem] = {}

    def begin(self, pod: Obj, container: Obj, before: Container | None) -> None:
        """Count an attempt to start. Raises ContainerProblem while it would come too early."""
        if before is None or before.state != EXITED:
            return
        key = _key(pod, container)
        if self._left(key, before) > 0:
            text = (
                f"back-off {duration(self._crashes.delay(key))} restarting failed "
                f"container={container['name']} pod={names.described(pod)}"
            )
            raise ContainerProblem("CrashLoopBackOff", text)
        self._crashes.failed(key)

    def succeeded(self, container: Obj) -> None:
        """It runs."""
        self.waiting.pop(container["name"], None)

    def failed(
        self,
        pod: Obj,
        container: Obj,
        before: Container | None,
        problem: ContainerProblem,
        *,
        pull: float | None,
    ) -> float:
        """Keep the reason and tell it; gives the seconds to the next attempt.

        `pull`: the moment (monotonic) of the next try to pull an image.
        """
        name = container["name"]
        known = self.waiting.get(name)
        self.waiting[name] = problem
        self._tell(pod, name, problem, known)
        match problem.reason:
            case "CrashLoopBackOff" if before is not None:
                left = self._left(_key(pod, container), before)
            case "ErrImagePull":
                left = 1.0  # then the status says ImagePullBackOff
            case "ImagePullBackOff" if pull is not None:
                left = pull - self._clock.monotonic()
            case _:
                left = RETRY
        return max(0.1, left)

    def _tell(self, pod: Obj, name: str, problem: ContainerProblem, known: ContainerProblem | None) -> None:
        where = podspec.field_path(pod, name)
        if problem.reason == "CrashLoopBackOff":
            text = f"Back-off restarting failed container {name} in pod {names.described(pod)}"
            self._events.warning(pod, "BackOff", text, field=where)
        if known is not None and known.reason == problem.reason:
            return
        log.warning("pod %s: container %s: %s: %s", names.key(pod), name, problem.reason, problem)
        if problem.reason != "CrashLoopBackOff":
            shown = problem.reason if "Image" in problem.reason else problem.message
            self._events.warning(pod, "Failed", f"Error: {shown}", field=where)

    def _left(self, key: str, before: Container) -> float:
        ago = self._clock.now().timestamp() - before.finished_at / 1e9
        return self._crashes.waiting(key, self._clock.monotonic() - ago)


def duration(seconds: float) -> str:
    """`10s`, `1m20s`, `5m0s`: as Go prints it."""
    whole = int(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"


def _key(pod: Obj, container: Obj) -> str:
    return f"{pod['metadata']['uid']}/{container['name']}/{names.container_hash(container)}"
