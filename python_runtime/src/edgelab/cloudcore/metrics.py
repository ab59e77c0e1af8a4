"""Numbers in Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0)
"""Upper bounds of a latency's buckets."""
LABELS_AT_MOST = 64


class Sample(NamedTuple):
    """One value with its labels; `suffix` is a part of its name (`_bucket`)."""

    value: float
    labels: Mapping[str, str] = {}
    suffix: str = ""


class Family(NamedTuple):
    """All values of one name; `kind` is counter, gauge or histogram."""

    name: str
    kind: str
    help: str
    samples: Iterable[Sample]


class Histogram:
    """How long things of several kinds take, in seconds; more kinds than `LABELS_AT_MOST` are one.

    A kind is the value of one label, or of each of `label`.
    """

    def __init__(
        self,
        name: str,
        help_text: str,
        label: str | tuple[str, ...],
        bounds: tuple[float, ...] = SECONDS,
    ) -> None:
        self._name = name
        self._help = help_text
        self._labels = _all(label)
        self._bounds = bounds
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, kind: str | tuple[str, ...], seconds: float) -> None:
        """One of this kind took so long."""
        kind = _all(kind)
        if kind not in self._counts:
            if len(self._counts) >= LABELS_AT_MOST:
                kind = ("other",) * len(self._labels)
            self._counts.setdefault(kind, [0] * (len(self._bounds) + 1))
            self._sums.setdefault(kind, 0.0)
        self._counts[kind][bisect_left(self._bounds, seconds)] += 1
        self._sums[kind] += seconds

    def family(self) -> Family:
        """Everything observed so far."""
        return Family(self._name, "histogram", self._help, list(self._samples()))

    def _samples(self) -> Iterator[Sample]:
        for kind, counts in self._counts.items():
            labels, total = dict(zip(self._labels, kind, strict=True)), 0
            for bound, count in zip((*self._bounds, math.inf), counts, strict=True):
                total += count
                yield Sample(total, {**labels, "le": _number(bound)}, "_bucket")
            yield Sample(self._sums[kind], labels, "_sum")
            yield Sample(total, labels, "_count")


def _all(label: str | tuple[str, ...]) -> tuple[str, ...]:
    return (label,) if isinstance(label, str) else label


def exposition(families: Iterable[Family]) -> str:
    """The text that a scrape gets."""
    lines = []
    for family in families:
        text = family.help.replace("\\", r"\\").replace("\n", r"\n")
        lines += [f"# HELP {family.name} {text}", f"# TYPE {family.name} {family.kind}"]
        lines += [f"{family.name}{s.suffix}{_labels(s.labels)} {_number(s.value)}" for s in family.samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)
