"""Processes of Docker's containers, as this machine has them: to end one.

A number from Docker is believed only when the kernel says that this process is in that container's group:
Docker may be in another process namespace, and numbers are used again.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

PROCESSES = Path("/proc")


def is_in(container: str, process: int) -> bool:
    """Whether the process belongs to a container, by its full id."""
    try:
        return process > 0 and container in (PROCESSES / str(process) / "cgroup").read_text()
    except OSError:
        return False


def kill(container: str, process: int) -> None:
    """SIGKILL a command in a container, and what it started in its process group (runc gives it one)."""
    try:
        handle = os.pidfd_open(process)  # from here on the number cannot be another's
    except OSError:
        return
    try:
        if not is_in(container, process):
            return
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process) == process:
                os.killpg(process, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)
