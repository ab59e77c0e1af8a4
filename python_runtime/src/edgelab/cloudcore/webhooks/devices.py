"""Which Device and DeviceModel may be stored (KubeEdge `admit_device.go`, `admit_devicemodel.go`).

Names of properties are unique, and annotations of ours can be read. Nothing else is refused, as that would be
objects in use; what will hardly do what was meant is stored with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgelab.cloudcore.webhooks.reviews import Refused, Request
from edgelab.kube.interface import Obj
from edgelab.objects.devices import LONGEST_SPOOL, OFFLINE_AFTER, SPOOL, annotation
from edgelab.objects.deviceversions.fields import mapping, mappings, text, whole
from edgelab.objects.pushmethods import parse
from edgelab.settings.durations import seconds

DAY = 86_400_000
"""Milliseconds."""
CYCLES = ("reportCycle", "collectCycle")


async def device(request: Request) -> list[str]:
    """Raises Refused and LayoutError naming the field."""
    _unique_names(request.spec())
    _check_annotations({"metadata": request.metadata()})
    return [*_long_cycles(request.spec()), *_useless_pushes(request.spec())]


async def model(request: Request) -> None:
    """Raises Refused and LayoutError naming the field."""
    _unique_names(request.spec())


def _unique_names(spec: Obj) -> None:
    seen: dict[str, str] = {}
    for prop, path in mappings(spec, "properties", "spec"):
        name = text(prop, "name", path)
        if name in seen:
            raise Refused(f"{path}.name: {name!r} is the name of {seen[name]} already")
        seen[name] = path


def _check_annotations(obj: Obj) -> None:
    if after := annotation(obj, OFFLINE_AFTER):
        try:
            found = seconds(after)
        except ValueError as error:
            raise Refused(f"metadata.annotations[{OFFLINE_AFTER}]: {error}") from error
        if found <= 0:
            raise Refused(f"metadata.annotations[{OFFLINE_AFTER}]: {after!r} is not longer than 0")
    spool = annotation(obj, SPOOL)
    if spool and not (spool.isascii() and spool.isdecimal() and int(spool[:10]) <= LONGEST_SPOOL):
        raise Refused(
            f"metadata.annotations[{SPOOL}]: {spool[:40]!r} is no number of reports from 0 to {LONGEST_SPOOL}"
        )


def _long_cycles(spec: Obj) -> Iterator[str]:
    """Manuals of before KubeEdge 1.18 gave nanoseconds."""
    reported = (mapping(spec, "stateReport", "spec"), "spec.stateReport")
    for holder, path in (reported, *mappings(spec, "properties", "spec")):
        for key in CYCLES:
            cycle = whole(holder, key, path) or 0
            if cycle > DAY:
                yield f"{path}.{key}: {cycle} ms is more than a day; cycles are milliseconds, not nanoseconds"


def _useless_pushes(spec: Obj) -> Iterator[str]:
    """What no mapper can send: a host without a scheme, a port that is none, a database without a name."""
    for prop, path in mappings(spec, "properties", "spec"):
        if prop.get("pushMethod") is not None:
            yield from parse(mapping(prop, "pushMethod", path), f"{path}.pushMethod").faults
