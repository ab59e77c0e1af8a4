"""A container's log file: from where it is read, and on to the next one when it is rotated.

Files are read on the event loop, in blocks: they lie in the page cache or on the node's own disk.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from types import TracebackType

from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged.streams.logtext import LogText
from edgelab.edgecore.edged.streams.options import LogOptions

BLOCK = 64 << 10
LONGEST_LINE = 1 << 20
"""Bytes without an end of line after which they are no line of a log, and dropped."""
FIRST_WAIT, LONGEST_WAIT = 0.02, 0.4
"""Seconds between two looks at a log that is followed: longer, the longer nothing comes."""
SETTLE_SECONDS = 0.5
ASK_AFTER = 1.0
"""Seconds of silence after which the runtime is asked whether the container runs still."""


class LogFile:
    """An open log; `close` it."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._rest = b""

    def __enter__(self) -> LogFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def seek_tail(self, lines: int) -> None:
        """Go to where the last `lines` lines begin."""
        position = os.fstat(self._descriptor).st_size
        wanted = lines + 1  # the last byte of a log ends a line
        while position > 0:
            start = max(0, position - BLOCK)
            block = os.pread(self._descriptor, position - start, start)
            ends = block.count(b"\n")
            if ends >= wanted:
                cut = len(block)
                for _ in range(wanted):
                    cut = block.rfind(b"\n", 0, cut)
                position = start + cut + 1
                break
            wanted -= ends
            position = start
        os.lseek(self._descriptor, position, os.SEEK_SET)

    def read(self) -> bytes:
        """Some whole lines; nothing when there are no more now."""
        while block := os.read(self._descriptor, BLOCK):
            block = self._rest + block
            cut = block.rfind(b"\n") + 1
            self._rest = block[cut:]
            if len(self._rest) > LONGEST_LINE:
                self._rest = b""
            if cut:
                return block[:cut]
        return b""

    def has_more(self) -> bool:
        """Whether something was written since the last read."""
        return os.fstat(self._descriptor).st_size > os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def follow(self, *, settled: bool) -> bool:
        """Go on in the file that has taken this one's place, or at the start of one that was emptied.

        False when there is none, or more to read here first. A new file that is empty counts when it is
        `settled`: until the runtime writes to it, it may still write to this one.
        """
        try:
            there = os.stat(self._path)
        except FileNotFoundError:  # put aside, and the runtime has not begun a new one yet
            return False
        mine = os.fstat(self._descriptor)
        if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
            if os.lseek(self._descriptor, 0, os.SEEK_CUR) <= mine.st_size:
                return False
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        else:
            if self.has_more() or not (there.st_size or settled):
                return False
            try:
                new = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            os.close(self._descriptor)
            self._descriptor = new
        self._rest = b""
        return True


async def read_log(
    file: LogFile, wanted: LogOptions, runs: Callable[[], Awaitable[bool]], clock: Clock
) -> AsyncGenerator[bytes, None]:
    """The text of a log, to its end or, followed, until its container has ended. Closes the file."""
    text = LogText(wanted)
    with file:
        if wanted.tail is not None:
            file.seek_tail(wanted.tail)
        last = False
        while not text.full:
            if block := file.read():
                if out := text.feed(block):
                    yield out
                await clock.sleep(0)
            elif not wanted.follow or last:
                return
            else:
                last = not await _wait(file, runs, clock)


async def _wait(file: LogFile, runs: Callable[[], Awaitable[bool]], clock: Clock) -> bool:
    """Until there may be more to read; False when all that will come is there."""
    wait, waited, asked = FIRST_WAIT, 0.0, 0.0
    while not file.follow(settled=waited >= SETTLE_SECONDS):
        if file.has_more():
            return True
        if waited - asked >= ASK_AFTER:
            if not await runs():
                return False
            asked = waited
        await clock.sleep(wait)
        waited += wait
        wait = min(LONGEST_WAIT, wait * 1.5)
    return True
