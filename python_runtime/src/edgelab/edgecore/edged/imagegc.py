"""Removes images that nobody uses when their disk fills up (kubelet `images/image_gc_manager.go`).

    high threshold     from this use of the disk on, unused images go, those first that were used longest ago
    low threshold      down to this use
    minimum age        an image that was just pulled may be needed in a moment
    maximum age        an image unused for so long goes in any case; 0 means never

Images of containers that exist, pinned ones and the sandbox's stay. Receives nothing; looks every five
minutes, and at once when the node is short of disk. Without the runtime it waits for the next look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged.pressure.thresholds import Level

log = logging.getLogger(__name__)
Obj = dict[str, Any]

PERIOD = 300.0
"""Seconds between two looks."""

NAMES_SHOWN = 5
"""Names of one image in the Node's status."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Percentages of the disk, ages in seconds; `sandbox` names the pause image."""

    high: int
    low: int
    minimum_age: float
    maximum_age: float
    sandbox: str


@dataclass(slots=True)
class _Record:
    seen_first: float
    used_last: float
    size: int


class ImageGC:
    """`level` observes the images' file system; `warn` records an event about the node."""

    def __init__(
        self,
        runtime: Runtime,
        clock: Clock,
        policy: Policy,
        *,
        level: Callable[[], Level | None],
        warn: Callable[[str, str], None],
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._policy = policy
        self._level = level
        self._warn = warn
        self._records: dict[str, _Record] = {}
        self._begun = False
        self._short = False
        self.images: list[pb.Image] = []

    async def run(self) -> NoReturn:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except (RuntimeUnreachable, CriError) as error:
                log.debug("images were not looked at: %s", error)
            await self._clock.sleep(PERIOD)

    async def look(self) -> None:
        """Remove what is too old, then as much as the disk asks for."""
        used = await self._detect()
        if self._policy.maximum_age > 0 and self._begun:
            now = self._clock.monotonic()
            await self._remove(
                (i for i, r in self._records.items() if now - r.used_last > self._policy.maximum_age), used
            )
        self._begun = True
        level = self._level()
        if level is None or level.capacity <= 0:
            return
        percent = 100 - level.available * 100 // level.capacity
        if percent < self._policy.high:
            self._short = False
            return
        wanted = level.capacity * (100 - self._policy.low) // 100 - level.available
        log.info("the images' disk is used at %d%%: unused images of %d bytes are to go", percent, wanted)
        freed = await self.free(wanted)
        if freed < wanted and not self._short:
            text = (
                f"Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, "
                f"but only found {freed} bytes eligible to free."
            )
            log.warning("%s", text)
            self._warn("FreeDiskSpaceFailed", text)
        self._short = freed < wanted

    async def free(self, wanted: int | None = None) -> int:
        """Remove unused images, the longest unused first; None removes all. Gives the bytes freed."""
        used, now = await self._detect(), self._clock.monotonic()
        old_enough = [
            (record.used_last, record.seen_first, image)
            for image, record in self._records.items()
            if now - record.seen_first >= self._policy.minimum_age
        ]
        return await self._remove((image for _, _, image in sorted(old_enough)), used, wanted)

    def shown(self, limit: int) -> list[Obj]:
        """The largest images for the Node's status; a limit of -1 means all."""
        largest = sorted(self.images, key=lambda image: image.size, reverse=True)
        return [
            {"names": [*image.repo_digests, *image.repo_tags][:NAMES_SHOWN], "sizeBytes": image.size}
            for image in (largest if limit < 0 else largest[:limit])
        ]

    async def _detect(self) -> set[str]:
        """Bring the records up to date; gives the ids that are in use."""
        self.images = list(await self._runtime.images())
        containers = await self._runtime.list_containers()
        named = {name for c in containers for name in (c.image_ref, c.image.image) if name}
        now, used = self._clock.monotonic(), set()
        for image in self.images:
            # What is here at the start may be old: it counts as such.
            since = now if self._begun else now - self._policy.minimum_age
            record = self._records.setdefault(image.id, _Record(since, since, image.size))
            if self._needed(image, named):
                used.add(image.id)
                record.used_last = now
        here = {image.id for image in self.images}
        self._records = {image: record for image, record in self._records.items() if image in here}
        return used

    def _needed(self, image: pb.Image, named: set[str]) -> bool:
        mine = {image.id, *image.repo_tags, *image.repo_digests}
        if image.pinned or mine & named or self._policy.sandbox in mine:
            return True
        # Runtimes that pin nothing (containerd before 1.7.3): the sandbox's image is known by its name.
        return any(tag.rpartition("/")[2].partition(":")[0] == "pause" for tag in image.repo_tags)

    async def _remove(self, images: Iterable[str], used: set[str], wanted: int | None = None) -> int:
        freed = 0
        for image in list(images):
            if wanted is not None and freed >= wanted:
                break
            if image in used:
                continue
            try:
                await self._runtime.remove_image(image)
            except CriError as error:
                log.warning("image %s could not be removed: %s", image, error.message)
                continue
            log.info("image %s, which nobody uses, is removed", image)
            freed += self._records.pop(image).size
        return freed
