"""A sample: KubeEdge's DataModel (`mapper-framework/pkg/common/datamodel.go`)."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import msgspec


class Sample(NamedTuple):
    """One reading of a property; `time` in ms since 1970."""

    namespace: str
    device: str
    prop: str
    type: str
    value: str
    time: int

    @property
    def id(self) -> str:
        """`<namespace>/<device>`."""
        return f"{self.namespace}/{self.device}"

    @property
    def nanoseconds(self) -> int:
        """`time` as databases for time series count it."""
        return self.time * 1_000_000

    def local_time(self) -> str:
        """`YYYY-MM-DD HH:MM:SS` in the mapper's time zone, as Go's `time.Unix().Format` has it."""
        return dt.datetime.fromtimestamp(self.time // 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")

    def utc_time(self) -> str:
        """RFC 3339 with milliseconds."""
        moment = dt.datetime.fromtimestamp(self.time / 1000, dt.UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def data_model(self) -> bytes:
        """The JSON of Go's encoding/json: the struct's names in their order, and its escapes for HTML."""
        fields = {
            "DeviceName": self.device,
            "PropertyName": self.prop,
            "Namespace": self.namespace,
            "Value": self.value,
            "Type": self.type,
            "TimeStamp": self.time,
        }
        return msgspec.json.encode(fields).decode().translate(_GO).encode()


_GO = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
