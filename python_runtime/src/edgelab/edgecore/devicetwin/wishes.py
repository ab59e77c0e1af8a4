"""The wanted values of a Device object, as what is expected of the device's twins. No I/O.

The original leaves wanted values to mappers that are called over gRPC; here clients of MQTT see them as well,
as they did before KubeEdge 1.15.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from edgelab.edgecore.devicetwin.twins import BAD_KEY, Outcome
from edgelab.protocol.twin import (
    DELETED,
    KEY,
    STRING,
    Twin,
    TwinValue,
    TypeMetadata,
    ValueMetadata,
    Version,
    normal_type,
    value_problem,
)


class Wish(NamedTuple):
    """A value that a property shall have, and the type that goes with it, which may be empty."""

    value: str
    type: str = ""


def wish(
    twins: Mapping[str, Twin], before: Mapping[str, str], desired: Mapping[str, Wish], version: int, now: int
) -> Outcome:
    """Make the Device object's wanted values (of resourceVersion `version`) what is expected here.

    Only what changed since the object's wanted values were `before`: an expected value of the node's own
    stays until the object wants something else.
    """
    outcome = Outcome()
    for key, wanted in desired.items():
        old = _living(twins.get(key))
        known = old.expected_version.cloud if old and old.expected_version else 0
        is_old = before[key] == wanted.value if key in before else known >= version > 0
        if is_old or (old and old.expected and old.expected.value == wanted.value):
            continue
        kind = old.type if old else _type_of(wanted)
        problem = value_problem(kind, wanted.value) if KEY.fullmatch(key) else BAD_KEY
        if problem:
            outcome.problems[key] = problem
        else:
            expected = TwinValue(wanted.value, ValueMetadata(now))
            outcome.record(key, old, _expecting(twins.get(key), kind, expected, version))
    for key, value in before.items():
        old = _living(twins.get(key))
        if key not in desired and old and old.expected and old.expected.value == value:
            outcome.record(key, old, _expecting(old, old.type, None, version))
    return outcome


def _type_of(wanted: Wish) -> str:
    kind = normal_type(wanted.type or STRING)
    return STRING if kind == DELETED else kind


def _living(twin: Twin | None) -> Twin | None:
    return None if twin is None or twin.is_deleted else twin


def _expecting(old: Twin | None, kind: str, expected: TwinValue | None, version: int) -> Twin:
    base = _living(old) or Twin(optional=True)
    edge = old.expected_version.edge if old and old.expected_version else 0
    return Twin(
        expected=expected,
        actual=base.actual,
        optional=base.optional,
        metadata=TypeMetadata(kind),
        expected_version=Version(version, edge),
        actual_version=old.actual_version if old else None,
    )
