"""How a twin changes (KubeEdge `edge/pkg/devicetwin/dtmanager/twin.go`), without any I/O.

Two ways in: programs on the node (`update`: every accepted half counts up the edge's version) and the
cloud (`sync`: versions decide who is right). Where the original drops or crashes on a message that
makes sense, the message is taken instead: a half without `value` counts as absent, and null for an
unknown property is nothing to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgelab.protocol.twin import (
    DELETED,
    KEY,
    STRING,
    Document,
    Twin,
    TwinValue,
    TypeMetadata,
    ValueMetadata,
    Version,
    normal_type,
    value_problem,
)

Twins = dict[str, Twin]
CLOCK_TOLERANCE = 60_000
"""Milliseconds by which a device's clock may be ahead of the node's."""
BAD_KEY = "the key of twin must only include upper or lowercase letters, number, - _ . , : / @ #"


class Rejected(Exception):
    """The message is refused as a whole; `str()` is the reason for the client."""


@dataclass(slots=True)
class Outcome:
    """What a message changes: new twins, and what clients are told of each."""

    changed: Twins = field(default_factory=dict)
    result: dict[str, Twin | None] = field(default_factory=dict)
    document: dict[str, Document] = field(default_factory=dict)
    refused: Twins = field(default_factory=dict)
    """Twins of a sync that was out of date: the cloud is to be told the edge's own."""
    problems: dict[str, str] = field(default_factory=dict)
    """Wanted values that no device could ever have, by property."""

    def record(self, key: str, last: Twin | None, current: Twin) -> None:
        """Take note of a property that was `last` and is `current`."""
        self.changed[key] = current
        shown = None if current.is_deleted else current.public()
        self.result[key] = shown
        self.document[key] = Document(last.public() if last else None, shown)


def update(
    twins: Mapping[str, Twin], request: Mapping[str, Twin | None], now: int, *, dated: bool = False
) -> Outcome:
    """Apply a local request at time `now` (ms). Raises Rejected; then nothing is changed.

    A `dated` request may say itself when a value was read (`actual.metadata.timestamp`).
    """
    outcome = Outcome()
    received = now
    for key, wanted in request.items():
        now = _read_at(wanted, received) if dated else received
        if not KEY.fullmatch(key):
            raise Rejected(BAD_KEY)
        old = twins.get(key)
        if wanted is None:
            _delete(outcome, key, old)
        elif old is None or old.is_deleted:
            outcome.record(key, None, _create(wanted, old, now))
        else:
            _change(outcome, key, old, wanted, now)
    return outcome


def sync(twins: Mapping[str, Twin], request: Mapping[str, Twin | None]) -> Outcome:
    """Apply what the cloud says; properties whose versions are behind end up in `refused`."""
    outcome = Outcome()
    for key, wanted in request.items():
        if wanted is None:
            continue
        old = twins.get(key)
        if not _is_news(old, wanted):
            if old is not None:
                outcome.refused[key] = old
            continue
        outcome.record(key, None if old is None or old.is_deleted else old, _adopt(old, wanted))
    return outcome


def delta(twins: Mapping[str, Twin]) -> tuple[dict[str, Twin], dict[str, str]]:
    """Twins with an expected value, and the expected values that the device does not have yet."""
    expected = {
        key: twin.public()
        for key, twin in twins.items()
        if twin.expected is not None and twin.expected.value and not twin.is_deleted
    }
    return expected, {
        key: twin.expected.value
        for key, twin in expected.items()
        if twin.expected is not None
        and twin.expected.value
        and (twin.actual is None or twin.actual.value != twin.expected.value)
    }


def _read_at(wanted: Twin | None, now: int) -> int:
    """When a value was read, as far as that can be; a clock that is ahead is not believed."""
    actual = wanted.actual if wanted is not None else None
    claimed = actual.metadata.timestamp if actual is not None and actual.metadata is not None else 0
    return claimed if 0 < claimed <= now + CLOCK_TOLERANCE else now


def _delete(outcome: Outcome, key: str, old: Twin | None) -> None:
    if old is None or old.is_deleted or old.optional is False:
        return
    gone = Twin(
        optional=True,
        metadata=TypeMetadata(DELETED),
        expected_version=_next(old.expected_version) if old.expected_version else None,
        actual_version=_next(old.actual_version) if old.actual_version else None,
    )
    outcome.record(key, old, gone)


def _create(wanted: Twin, old: Twin | None, now: int) -> Twin:
    kind = normal_type(wanted.type) if wanted.type else STRING
    if kind == DELETED:
        kind = STRING
    return Twin(
        expected=_half(wanted.expected, kind, now),
        actual=_half(wanted.actual, kind, now),
        optional=True if wanted.optional is None else wanted.optional,
        metadata=TypeMetadata(kind),
        expected_version=_counted(old.expected_version if old else None, wanted.expected),
        actual_version=_counted(old.actual_version if old else None, wanted.actual),
    )


def _change(outcome: Outcome, key: str, old: Twin, wanted: Twin, now: int) -> None:
    kind = normal_type(wanted.type) if _is_first_word(old, wanted) else old.type
    expected = _half(wanted.expected, kind, now)
    actual = _half(wanted.actual, kind, now)
    tightened = wanted.optional is False and old.optional is not False
    retyped = bool(wanted.type) and normal_type(wanted.type) != old.type
    new = Twin(
        expected=expected or old.expected,
        actual=actual or old.actual,
        optional=False if tightened else old.optional,
        metadata=old.metadata if kind == old.type else TypeMetadata(kind),
        expected_version=_counted(old.expected_version, wanted.expected),
        actual_version=_counted(old.actual_version, wanted.actual),
    )
    if expected or actual or tightened or retyped:
        outcome.record(key, old, new)
    else:
        outcome.result[key] = old.public()


def _is_first_word(old: Twin, wanted: Twin) -> bool:
    """Whether the device speaks of what only its object has spoken of: now the device's type counts."""
    from_object = old.expected_version is not None and old.expected_version.cloud > 0
    return bool(wanted.type) and from_object and old.actual is None and old.actual_version is None


def _half(wanted: TwinValue | None, kind: str, now: int) -> TwinValue | None:
    if wanted is None or wanted.value is None:
        return None
    if problem := value_problem(kind, wanted.value):
        raise Rejected(problem)
    return TwinValue(wanted.value, ValueMetadata(now))


def _counted(version: Version | None, wanted: TwinValue | None) -> Version | None:
    return version if wanted is None or wanted.value is None else _next(version)


def _next(version: Version | None) -> Version:
    return Version(version.cloud, version.edge + 1) if version else Version(0, 1)


def _is_news(old: Twin | None, wanted: Twin) -> bool:
    pairs = (
        (wanted.expected, wanted.expected_version, old.expected_version if old else None),
        (wanted.actual, wanted.actual_version, old.actual_version if old else None),
    )
    for half, claimed, known in pairs:
        if half is None:
            continue
        if claimed is None:
            return False
        if known is not None and (known.cloud > claimed.cloud or known.edge > claimed.edge):
            return False
    return True


def _adopt(old: Twin | None, wanted: Twin) -> Twin:
    if wanted.is_deleted:
        return Twin(
            optional=True,
            metadata=wanted.metadata,
            expected_version=wanted.expected_version,
            actual_version=wanted.actual_version,
        )
    base = old if old is not None and not old.is_deleted else Twin(optional=True)
    kind = base.type or normal_type(wanted.type or STRING)
    return Twin(
        expected=wanted.expected or base.expected,
        actual=wanted.actual or base.actual,
        optional=base.optional if wanted.optional is None else wanted.optional,
        metadata=TypeMetadata(kind),
        expected_version=wanted.expected_version or base.expected_version,
        actual_version=wanted.actual_version or base.actual_version,
    )
