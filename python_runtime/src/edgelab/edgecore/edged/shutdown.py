"""Ends pods in order before the machine goes down (kubelet `nodeshutdown`), with systemd-logind.

Where shutdownGracePeriod or shutdownGracePeriodByPodPriority is set: holds a delay inhibitor, and when
logind announces a shutdown, ends the pods by priority, lowest first, each group within its seconds; then
lets go. The Node says "node is shutting down", and new pods are refused. While the cloud is away pods are
stopped in the same order but not failed: they come back from the store after the boot. A restart of EdgeCore
alone is no shutdown: nothing announces it, so no pod notices.

Receives: logind's signals. Stores: /etc/systemd/logind.conf.d/99-edgecore.conf when logind would wait for
less time than the settings ask for. Without logind it says so once, and tries again now and then.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import names, podspec
from edgelab.edgecore.edged.dbus import Bus, BusError
from edgelab.edgecore.edged.pressure.ranking import CRITICAL, priority
from edgelab.edgecore.edged.verdicts import Verdict
from edgelab.settings.durations import seconds
from edgelab.settings.kubelet import TailoredKubeletConfig

log = logging.getLogger(__name__)
Obj = dict[str, Any]

LOGIND, LOGIND_PATH = "org.freedesktop.login1", "/org/freedesktop/login1"
MANAGER = "org.freedesktop.login1.Manager"
RULE = f"type='signal',interface='{MANAGER}',member='PrepareForShutdown',path='{LOGIND_PATH}'"
OVERRIDE = Path("/etc/systemd/logind.conf.d/99-edgecore.conf")

REASON, MESSAGE = "Terminated", "Pod was terminated in response to imminent node shutdown."
REFUSAL = Verdict("NodeShutdown", "Pod was rejected as the node is shutting down.")
PROBLEM = "node is shutting down"


@dataclass(frozen=True, slots=True)
class Period:
    """Pods of at least this priority get so many seconds, up to the next period's priority."""

    priority: int
    seconds: int


def periods(config: TailoredKubeletConfig) -> list[Period]:
    """The settings' periods, lowest priority first; none when graceful shutdown is off. Raises ValueError."""
    if config.shutdownGracePeriodByPodPriority:
        try:
            found = [
                Period(int(entry["priority"]), int(entry["shutdownGracePeriodSeconds"]))
                for entry in config.shutdownGracePeriodByPodPriority
            ]
        except (KeyError, TypeError, ValueError) as error:
            text = (
                "shutdownGracePeriodByPodPriority: each entry needs priority and shutdownGracePeriodSeconds"
            )
            raise ValueError(text) from error
        return sorted(found, key=lambda period: period.priority)
    whole = int(seconds(config.shutdownGracePeriod))
    critical = int(seconds(config.shutdownGracePeriodCriticalPods))
    if critical > whole:
        raise ValueError(
            "shutdownGracePeriodCriticalPods: it is a part of shutdownGracePeriod, so not longer"
        )
    return [Period(0, whole - critical), Period(CRITICAL, critical)] if whole else []


def groups(found: list[Period], pods: list[Obj]) -> list[tuple[Period, list[Obj]]]:
    """Each period with its pods; pods below the lowest priority belong to the first period."""
    made: list[tuple[Period, list[Obj]]] = [(period, []) for period in found]
    for pod in pods:
        index = max((i for i, period in enumerate(found) if period.priority <= priority(pod)), default=0)
        made[index][1].append(pod)
    return made


@dataclass(frozen=True, slots=True)
class Hands:
    """What is done at a shutdown: `end` fails a pod, `halt` only stops it; both wait for its end."""

    pods: Callable[[], list[Obj]]
    end: Callable[[str, Verdict], Awaitable[None]]
    halt: Callable[[str, int], Awaitable[None]]
    online: Callable[[], bool]
    changed: Callable[[], None]
    tell: Callable[[str, str], None]


class NodeShutdown:
    """The part of edged. `override` is where logind's longest delay is set."""

    def __init__(
        self, config: TailoredKubeletConfig, hands: Hands, clock: Clock, *, override: Path = OVERRIDE
    ) -> None:
        self._periods = periods(config)
        self._hands = hands
        self._clock = clock
        self._override = override
        self._now = False
        self._complaint = ""

    @property
    def problem(self) -> str:
        """Why the node is not ready; empty while no shutdown is under way."""
        return PROBLEM if self._now else ""

    def refusal(self) -> Verdict | None:
        """Why new pods may not run."""
        return REFUSAL if self._now else None

    async def run(self) -> None:
        """Wait for a shutdown, for ever; returns at once when the settings do not ask for it."""
        if not self._periods:
            return
        waits = delays(1.0, 60.0)
        while True:
            try:
                async with Bus() as bus:
                    waits = delays(1.0, 60.0)
                    await self._attend(bus)
            except BusError as error:
                level = logging.DEBUG if str(error) == self._complaint else logging.WARNING
                log.log(level, "a shutdown of this machine will not be noticed: %s", error)
                self._complaint = str(error)
            await self._clock.sleep(next(waits))

    async def _attend(self, bus: Bus) -> None:
        await self._ask_for_time(bus)
        await bus.match(RULE)
        lock = await self._inhibit(bus)
        log.info("pods are ended in order before this machine shuts down")
        self._complaint = ""
        try:
            while (signal := await bus.signals.get()) is not None:
                if signal.member != "PrepareForShutdown" or not signal.body:
                    continue
                began = bool(signal.body[0])
                word = "event" if began else "cancellation"
                self._hands.tell("NodeShutdown", f"Shutdown manager detected shutdown {word}")
                log.warning(
                    "this machine %s", "is shutting down" if began else "does not shut down after all"
                )
                self._now = began
                self._hands.changed()
                if began:
                    await self.end_pods()
                    os.close(lock)
                    lock = -1
                elif lock < 0:
                    lock = await self._inhibit(bus)
        finally:
            if lock >= 0:
                os.close(lock)
        raise BusError("the system bus is gone")

    async def end_pods(self) -> None:
        """End all pods, group by group."""
        online = self._hands.online()
        for period, pods in groups(self._periods, self._hands.pods()):
            if not pods:
                continue
            tasks = [
                asyncio.create_task(self._end(pod, period, online=online), name=f"shutdown/{names.key(pod)}")
                for pod in pods
            ]
            try:
                _, late = await asyncio.wait(tasks, timeout=max(1, period.seconds))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            if late:
                log.warning("%d pods of priority %d did not end in time", len(late), period.priority)

    async def _end(self, pod: Obj, period: Period, *, online: bool) -> None:
        grace = min(podspec.grace_seconds(pod), period.seconds)
        if online:
            await self._hands.end(names.uid(pod), Verdict(REASON, MESSAGE, grace, disrupted=True))
        else:
            await self._hands.halt(names.uid(pod), grace)

    async def _inhibit(self, bus: Bus) -> int:
        why = "EdgeCore ends the pods of this node first"
        answer = await bus.call(
            LOGIND, LOGIND_PATH, MANAGER, "Inhibit", "ssss", "shutdown", "edgecore", why, "delay"
        )
        return int(answer[0])

    async def _ask_for_time(self, bus: Bus) -> None:
        """Let logind wait as long as the settings say, for which it needs a file of its own."""
        wanted = sum(period.seconds for period in self._periods)
        if await self._longest_delay(bus) >= wanted:
            return
        try:
            self._override.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._override.write_text(f"# Made by EdgeCore\n[Login]\nInhibitDelayMaxSec={wanted}\n")
        except OSError as error:
            log.warning("%s cannot be written: %s", self._override, error.strerror)
        else:
            unit = "org.freedesktop.systemd1"
            await bus.call(
                unit,
                "/org/freedesktop/systemd1",
                f"{unit}.Manager",
                "KillUnit",
                "ssi",
                "systemd-logind.service",
                "all",
                1,
            )
            await self._clock.sleep(1.0)  # it reads its files again
        if (given := await self._longest_delay(bus)) < wanted:
            log.warning("logind waits for %d s at a shutdown; the settings ask for %d s", given, wanted)

    async def _longest_delay(self, bus: Bus) -> int:
        properties = "org.freedesktop.DBus.Properties"
        answer = await bus.call(LOGIND, LOGIND_PATH, properties, "Get", "ss", MANAGER, "InhibitDelayMaxUSec")
        return int(answer[0]) // 1_000_000
