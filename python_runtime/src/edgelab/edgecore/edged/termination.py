"""What a container left to say when it ended: its termination message, or the end of its log."""

from __future__ import annotations

from pathlib import Path

from edgelab.cri.logs import parse
from edgelab.edgecore.edged.state import Container

MESSAGE_LIMIT = 4096
"""Bytes of a termination message; with FallbackToLogsOnError the last 2048 bytes or 80 lines of the log."""

LOG_TAIL_BYTES, LOG_TAIL_LINES = 2048, 80


def termination_message(container: Container) -> str:
    """What the container wrote to its termination log, else what the runtime says of its end."""
    text = ""
    if container.message_path:
        try:
            with Path(container.message_path).open("rb") as file:
                text = file.read(MESSAGE_LIMIT).decode(errors="replace")
        except OSError:
            text = ""
    if not text and container.log_fallback and container.exit_code != 0:
        text = log_tail(container.log_path)
    return text or container.message


def log_tail(path: str) -> str:
    """The end of a container's log, without what the runtime writes around it."""
    try:
        with Path(path).open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4 * LOG_TAIL_BYTES))
            lines = file.read().splitlines()[-LOG_TAIL_LINES:]
    except OSError:
        return ""
    text = "".join(line.text for raw in lines if (line := parse(raw)) is not None)
    return text.removesuffix("\n")[-LOG_TAIL_BYTES:]
