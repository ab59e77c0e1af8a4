"""Usage as text: quantities in their canonical form, durations as Go writes them."""

from __future__ import annotations

from edgelab.edgesite.apiserver.usage.page import BILLION
from edgelab.objects import quantity


def cpu(cores: int) -> str:
    """Nanocores, in decimal units."""
    return quantity.canonical(f"{cores}n")


def memory(size: int) -> str:
    """Bytes, in binary units where they are whole."""
    return quantity.canonical(f"{size // 1024}Ki") if size % 1024 == 0 else str(size)


def nanocores(text: str) -> int:
    """The value of `cpu`."""
    return int(quantity.parse(text) * BILLION)


def duration(nanoseconds: int) -> str:
    """`time.Duration.String` for a second or longer: `15.03s`, `1m0.5s`, `1h0m0s`."""
    minutes, rest = divmod(nanoseconds, 60 * BILLION)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest // BILLION}.{rest % BILLION:09d}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds
