"""Questions to VictoriaMetrics' `/api/v1/query_range`, and curves out of its answers.

The series are those that the twinexporter writes (docs/reference/devices.md): `kubeedge_device_<property>`
with the labels namespace, device and node. A device that moved has a series for each node; they make one
curve.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

Curves: TypeAlias = dict[str, list[tuple[int, float]]]
"""Points (milliseconds since 1970, value) in order of time, by the property's name in the database."""


class Window(NamedTuple):
    """The curves of a device, and where they end (milliseconds since 1970)."""

    to: int
    curves: Curves


RANGES = (300, 900, 3600, 21_600, 86_400)
"""Seconds that a curve may cover."""
POINTS = 180
PREFIX = "kubeedge_device_"
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


@dataclass(frozen=True, slots=True)
class Query:
    """All properties of one device over `seconds` until `now` (seconds since 1970)."""

    namespace: str
    device: str
    seconds: int
    now: float

    @property
    def step(self) -> int:
        """Seconds between two points."""
        return max(1, self.seconds // POINTS)

    def parameters(self) -> dict[str, str]:
        """Of the request. `nocache`, or VictoriaMetrics moves start and end to multiples of the step."""
        labels = f'namespace="{self.namespace.translate(ESCAPES)}",device="{self.device.translate(ESCAPES)}"'
        return {
            "query": f'{{__name__=~"{PREFIX}.+",{labels}}}',
            "start": f"{self.now - self.seconds:.3f}",
            "end": f"{self.now:.3f}",
            "step": f"{self.step}s",
            "nocache": "1",
        }


def window_of(query: Query, answer: Any) -> Window:
    """The curves of an answer (Prometheus' HTTP API, a matrix); what is no number is left out."""
    joined: dict[str, dict[int, float]] = {}
    for series in ((answer.get("data") or {}).get("result") or ()) if isinstance(answer, dict) else ():
        name = str((series.get("metric") or {}).get("__name__", ""))
        joined.setdefault(name.removeprefix(PREFIX), {}).update(_points(series.get("values") or ()))
    curves = {name: sorted(points.items()) for name, points in joined.items() if points}
    return Window(round(query.now * 1000), curves)


def _points(values: Any) -> Iterator[tuple[int, float]]:
    for moment, value in values:
        number = float(value)
        if math.isfinite(number):
            yield round(float(moment) * 1000), number
