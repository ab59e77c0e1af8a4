"""One at a time, where several runs may want the same thing of the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os


@contextlib.contextmanager
def exclusive(path):
    """Holds the lock of `path`, a folder or a file that is made for it; waits for who has it (flock(2))."""
    flags = os.O_RDONLY if os.path.isdir(str(path)) else os.O_RDONLY | os.O_CREAT
    descriptor = os.open(str(path), flags, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
