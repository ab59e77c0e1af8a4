"""Liveness, readiness and startup probes (kubelet `pkg/kubelet/prober`).

One task per probe of a running container. A changed result wakes the pod's worker; failures become events,
nothing else is sent. Stores nothing: after a restart of EdgeCore the probes begin anew, and a container that
was started or ready before counts as such until a probe says otherwise.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgelab.cri.errors import RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.edged import actions, podspec
from edgelab.edgecore.edged.actions import CannotTell, Target
from edgelab.edgecore.edged.events import Recorder
from edgelab.edgecore.edged.state import Container

Obj = dict[str, Any]

LIVENESS, READINESS, STARTUP = "livenessProbe", "readinessProbe", "startupProbe"
WORDS = {STARTUP: "Startup", LIVENESS: "Liveness", READINESS: "Readiness"}


@dataclass(slots=True)
class Watched:
    """One container under observation. A result of None: there is none yet."""

    pod: Obj
    target: Target
    results: dict[str, bool | None]
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)


class Prober:
    """The probes of all pods. `wake(uid)` is called when a result changes."""

    def __init__(self, runtime: Runtime, clock: Clock, events: Recorder, wake: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._clock = clock
        self._events = events
        self._wake = wake
        self._tasks = Supervisor("probes")
        self._watched: dict[tuple[str, str], Watched] = {}

    def watch(
        self, pod: Obj, spec: Obj, container: Container, ip: str, *, was_started: bool, was_ready: bool
    ) -> None:
        """Probe a running container; repeated calls for the same one change nothing."""
        uid = pod["metadata"]["uid"]
        key = (uid, spec["name"])
        known = self._watched.get(key)
        if known is not None and known.target.container.id == container.id:
            known.pod = pod
            return
        self.forget(uid, spec["name"])
        wanted = [kind for kind in WORDS if spec.get(kind)]
        if not wanted:
            return
        results: dict[str, bool | None] = {
            STARTUP: True if was_started or STARTUP not in wanted else None,
            READINESS: True if was_ready else None,
            LIVENESS: True,
        }
        watched = Watched(pod, Target(spec, container, ip), results)
        if results[STARTUP]:
            watched.begun.set()
            wanted = [kind for kind in wanted if kind != STARTUP]
        for kind in wanted:
            name = f"{uid}/{spec['name']}/{kind}"
            adopted = was_started or was_ready
            watched.tasks[kind] = self._tasks.spawn(self._probe(uid, watched, kind, spread=adopted), name)
        self._watched[key] = watched

    def forget(self, uid: str, name: str = "") -> None:
        """Stop probing a container, or with an empty name the whole pod."""
        for key in [key for key in self._watched if key[0] == uid and name in ("", key[1])]:
            for task in self._watched.pop(key).tasks.values():
                task.cancel()

    def ending(self, uid: str) -> None:
        """The pod is being ended: only its readiness is still of interest."""
        for key, watched in self._watched.items():
            if key[0] == uid:
                for kind in (LIVENESS, STARTUP):
                    if task := watched.tasks.pop(kind, None):
                        task.cancel()

    def started(self, uid: str, spec: Obj, container: Container | None) -> bool:
        """Running, and past its startup probe."""
        if container is None or not container.running:
            return False
        watched = self._of(uid, spec, container)
        return not spec.get(STARTUP) or (watched is not None and watched.results[STARTUP] is True)

    def ready(self, uid: str, spec: Obj, container: Container | None) -> bool:
        """Started, and its readiness probe succeeds."""
        if not self.started(uid, spec, container):
            return False
        watched = self._of(uid, spec, container)
        return not spec.get(READINESS) or (watched is not None and watched.results[READINESS] is True)

    def broken(self, uid: str, spec: Obj, container: Container) -> str:
        """The probe for which the container must be restarted; empty while it is well."""
        kind = self._failed(uid, spec, container)
        return WORDS[kind].lower() if kind else ""

    def grace(self, uid: str, spec: Obj, container: Container) -> int | None:
        """Seconds that the failed probe gives the container to end; None when it says nothing of it."""
        kind = self._failed(uid, spec, container)
        seconds = spec[kind].get("terminationGracePeriodSeconds") if kind else None
        return None if seconds is None else int(seconds)

    async def close(self) -> None:
        """Stop all probes."""
        await self._tasks.close()

    def _failed(self, uid: str, spec: Obj, container: Container) -> str:
        watched = self._of(uid, spec, container)
        failed = (kind for kind in (STARTUP, LIVENESS) if watched and watched.results[kind] is False)
        return next(failed, "")

    def _of(self, uid: str, spec: Obj, container: Container | None) -> Watched | None:
        watched = self._watched.get((uid, spec["name"]))
        same = watched is not None and container is not None and watched.target.container.id == container.id
        return watched if same else None

    async def _probe(self, uid: str, watched: Watched, kind: str, *, spread: bool) -> None:
        probe, started = watched.target.spec[kind], watched.target.container.started_at / 1e9
        period = float(probe.get("periodSeconds") or 10)
        if kind != STARTUP:
            await watched.begun.wait()
        if spread:  # many pods were adopted in one moment
            await self._clock.sleep(period * random.random())  # noqa: S311 - spread, not secrecy
        age = max(0.0, self._clock.now().timestamp() - started)
        await self._clock.sleep(max(0.0, float(probe.get("initialDelaySeconds") or 0) - age))
        needed = {
            True: int(probe.get("successThreshold") or 1),
            False: int(probe.get("failureThreshold") or 3),
        }
        streak, last = 0, None
        while True:
            good = await self._once(watched, kind, probe)
            if good is not None:
                streak, last = (streak + 1 if good is last else 1), good
                if streak >= needed[good] and self._settled(uid, watched, kind, good):
                    return
            await self._clock.sleep(period)

    def _settled(self, uid: str, watched: Watched, kind: str, good: bool) -> bool:
        """Note a result; True when this probe has nothing more to find out."""
        if watched.results[kind] is not good:
            watched.results[kind] = good
            self._wake(uid)
        if kind == STARTUP and good:
            watched.begun.set()
            return True
        return kind != READINESS and not good  # the container is about to be restarted

    async def _once(self, watched: Watched, kind: str, probe: Obj) -> bool | None:
        """One try; None when it says nothing."""
        pod, target, word = watched.pod, watched.target, WORDS[kind]
        where = podspec.field_path(pod, target.spec["name"])
        try:
            outcome = await actions.probe(
                self._runtime, target, probe, float(probe.get("timeoutSeconds") or 1)
            )
        except RuntimeUnreachable:
            return None
        except CannotTell as error:
            self._events.warning(pod, "Unhealthy", f"{word} probe errored: {error}", field=where)
            return None
        if outcome.warning:
            self._events.warning(pod, "ProbeWarning", f"{word} probe warning: {outcome.text}", field=where)
        elif not outcome.good:
            self._events.warning(pod, "Unhealthy", f"{word} probe failed: {outcome.text}", field=where)
        return outcome.good
