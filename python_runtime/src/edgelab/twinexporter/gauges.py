"""Device twins as they are now, in the text format of Prometheus.

One gauge for each reported number, one for the time of its report, one for the state of each device.
A label is at most `LONGEST` characters long and there are at most `MOST` gauges of a kind: what is
beyond that is left out whole, because a name that was cut could be another one's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from edgelab.twinexporter.samples import Device, Twins, milliseconds, number, reported

LONGEST = 256
"""Names of objects have 253 characters at most; only names of properties and nodes can be longer."""
MOST = 100_000
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
FAMILIES = {
    "reported": ("kubeedge_device_reported", "What the device reported last of a property."),
    "timestamps": ("kubeedge_device_reported_timestamp_seconds", "When it did, in seconds since 1970."),
    "states": ("kubeedge_device_state", "1 for the state that the device is in."),
}


@dataclass(slots=True)
class Gauges:
    """The samples of each family, as lines without a name, and how many were left out."""

    reported: list[str] = field(default_factory=list)
    timestamps: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    left_out: int = 0

    def text(self) -> str:
        """The families that have samples."""
        parts = []
        for kind, (name, about) in FAMILIES.items():
            if lines := getattr(self, kind):
                head = f"# HELP {name} {about}\n# TYPE {name} gauge\n"
                parts.append(head + "".join(f"{name}{line}\n" for line in lines))
        return "".join(parts)

    def add(self, twins: Twins, device: Device) -> None:
        """What is known of one device."""
        namespace, name = device
        status = twins.statuses.get(device) or {}
        labels = {"namespace": namespace, "device": name, "node": twins.nodes.get(device, "")}
        found = {prop: (value, at) for prop, value, at in reported(status)}
        for prop, (text, at) in found.items():
            value, when = number(text), milliseconds(at)
            if value is None:
                continue
            where = _labels(**labels, property=prop)
            if where is None or len(self.reported) >= MOST:
                self.left_out += 1
                continue
            self.reported.append(f"{where} {value!r}")
            if when is not None:
                self.timestamps.append(f"{where} {when / 1000!r}")
        self._add_state(labels, (status.get("status") or {}).get("state"))

    def _add_state(self, labels: dict[str, str], state: object) -> None:
        if not state:
            return
        where = _labels(**labels, state=str(state))
        if where is None or len(self.states) >= MOST:
            self.left_out += 1
        else:
            self.states.append(f"{where} 1")


def collected(twins: Twins, step: int = 500) -> Iterator[Gauges]:
    """The same object again and again, `step` devices fuller each time: other work fits in between."""
    gauges = Gauges()
    for count, device in enumerate(list(twins.nodes), start=1):
        gauges.add(twins, device)
        if count % step == 0:
            yield gauges
    yield gauges


def _labels(**labels: str) -> str | None:
    """`{namespace="n",...}`; None when one is too long. An empty label is no label."""
    if max(map(len, labels.values())) > LONGEST:
        return None
    return (
        "{" + ",".join(f'{name}="{text.translate(ESCAPES)}"' for name, text in labels.items() if text) + "}"
    )
