"""How far the watch of statuses is whose samples all databases have, so that a restart watches from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgelab.twinexporter.pipe import Pipe


class Progress:
    """Marks a version of the watch, and gives it away once every pipe has done with what came before it.

    One mark at a time: under constant load the version is as old as the longest queue.
    """

    def __init__(self, version: Callable[[], str], pipes: Sequence[Pipe]) -> None:
        """`version`: where the watch stands now; empty when that is not known."""
        self._version = version
        self._pipes = pipes
        self._mark: tuple[str, list[int]] | None = None
        self._done = ""

    def __call__(self) -> str:
        """The newest version that all have done with; empty as long as there is none."""
        for _ in range(2):  # what is done with makes room for a mark, which may be done with as well
            if self._mark is None:
                self._mark = (self._version(), [pipe.entered for pipe in self._pipes])
            version, entered = self._mark
            if not all(pipe.passed >= count for pipe, count in zip(self._pipes, entered, strict=True)):
                break
            self._done, self._mark = version or self._done, None
        return self._done
