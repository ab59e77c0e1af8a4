"""Whether the container runtime is there and can run pods, in the kubelet's words.

Receives nothing; asks every five seconds. Tells of each change. Without the runtime the node is not ready and
edged goes on; only at the start a runtime that stays away ends the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NoReturn

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal

log = logging.getLogger(__name__)

WAIT = 10.0
"""Seconds that the container runtime may take to answer when EdgeCore starts."""

PERIOD = 5.0
"""Seconds between two questions."""


class RuntimeWatch:
    """`problem` is why pods cannot run, empty when they can; `version` reads like `containerd://1.6.20`."""

    def __init__(self, runtime: Runtime, clock: Clock, changed: Callable[[], None]) -> None:
        self._runtime = runtime
        self._clock = clock
        self._changed = changed
        self.problem = "container runtime was not asked yet"
        self.name = "containerd"
        self.version = ""

    async def greet(self) -> None:
        """Wait a moment for the runtime, which may be starting too. Raises Fatal when none comes."""
        deadline = self._clock.monotonic() + WAIT
        await self.ask()
        while not self.version:
            if self._clock.monotonic() >= deadline:
                raise Fatal(self.problem)
            await self._clock.sleep(0.5)
            await self.ask()
        if self.problem:
            log.error("%s", self.problem)
        else:
            log.info("container runtime %s is ready", self.version)

    async def driver(self, configured: str) -> str:
        """The cgroup driver to use: the runtime's own where it says so, else the configured one."""
        try:
            found = await self._runtime.cgroup_driver()
        except RuntimeUnreachable:
            return configured
        if found and found != configured:
            log.warning(
                "the runtime's cgroup driver is %s and not %s: the runtime's is used; "
                "set modules.edged.tailoredKubeletConfig.cgroupDriver to %s",
                *(found, configured, found),
            )
        return found or configured

    async def run(self) -> NoReturn:
        """Ask for ever."""
        while True:
            await self._clock.sleep(PERIOD)
            before = self.problem
            await self.ask()
            if self.problem != before:
                log.warning("%s", self.problem or "the container runtime is ready again")
                self._changed()

    async def ask(self) -> None:
        """Ask once."""
        try:
            if not self.version:
                version = await self._runtime.version()
                self.name = version.runtime_name
                self.version = f"{version.runtime_name}://{version.runtime_version}"
            self.problem = (await self._runtime.readiness()).problem
        except RuntimeUnreachable as error:
            self.problem, self.version = f"container runtime is down: {error}", ""
        except CriError as error:
            unserved = error.code == "UNIMPLEMENTED"
            text = "it does not serve CRI v1 (is the cri plugin disabled in containerd's config?)"
            self.problem = f"the container runtime refuses: {text if unserved else error.message}"
