"""Static pods with their mirrors, as edged uses them: files on one side, the API's mirrors on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged.mirrors import Mirrors
from edgelab.edgecore.edged.reports import Reports
from edgelab.edgecore.edged.staticpods import StaticPods
from edgelab.edgecore.interfaces import Meta
from edgelab.settings.durations import seconds
from edgelab.settings.kubelet import TailoredKubeletConfig

Obj = dict[str, Any]


class FilePods:
    """`changed` and `removed` take a static pod that came or went."""

    def __init__(
        self,
        config: TailoredKubeletConfig,
        node: str,
        *,
        meta: Meta,
        clock: Clock,
        reports: Reports,
        changed: Callable[[Obj], None],
        removed: Callable[[Obj], None],
    ) -> None:
        self.mirrors = Mirrors(meta, clock, node, reports, lambda: self._static.pods)
        self._static = StaticPods(
            Path(config.staticPodPath) if config.staticPodPath else None,
            node,
            clock,
            period=max(1.0, seconds(config.fileCheckFrequency)),
            changed=self._with_mirrors(changed),
            removed=self._with_mirrors(removed),
        )

    def look(self) -> None:
        """Read the files now."""
        self._static.look()

    async def run(self) -> None:
        """Follow files and mirrors for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._static.run(), name="edged/static-pods")
            group.create_task(self.mirrors.run(), name="edged/mirror-pods")

    def _with_mirrors(self, then: Callable[[Obj], None]) -> Callable[[Obj], None]:
        def both(pod: Obj) -> None:
            then(pod)
            self.mirrors.look()

        return both
