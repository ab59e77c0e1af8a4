"""Waveforms between 0 and 1; `phase` counts periods from the start."""

from __future__ import annotations

import math
import random
from collections.abc import Callable


def sine(phase: float) -> float:
    """Begins in the middle and rises."""
    return 0.5 + math.sin(2 * math.pi * phase) / 2


def square(phase: float) -> float:
    """High for the first half of a period."""
    return 1.0 if phase % 1 < 0.5 else 0.0


def sawtooth(phase: float) -> float:
    """Rises through the period, then falls at once."""
    return phase % 1


def noise(_phase: float) -> float:
    """Any value."""
    return random.random()  # noqa: S311 - a simulation, no secret


SHAPES: dict[str, Callable[[float], float]] = {
    "sine": sine,
    "square": square,
    "sawtooth": sawtooth,
    "random": noise,
}


def wave(name: str, seconds: float, period: float) -> float:
    """The level of a waveform after some seconds. Raises ValueError."""
    if name not in SHAPES:
        raise ValueError(f"waveform {name!r}: expected one of {', '.join(SHAPES)}")
    if period <= 0:
        raise ValueError(f"period {period:g}: expected more than 0 seconds")
    return SHAPES[name](seconds / period)
