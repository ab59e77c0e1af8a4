"""Endings and failures that a user has to understand."""

from __future__ import annotations


class Fatal(Exception):
    """The process cannot go on. `str()` is one line that names the cause and, where known, the fix.

    `code` is the process's exit status. Raised anywhere below `edgelab.daemon.main.run`, it ends
    the process with that line on stderr and no traceback.
    """

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Unreachable(Exception):
    """The other side cannot be reached now; trying again later is right."""
