"""`pushMethod.dbMethod.influxdb2`: line protocol (docs.influxdata.com, "Line protocol", "/api/v2/write").

KubeEdge's mapper (`_template/mapper/data/dbmethod/influxdb2/client.go`) writes every value as text. Here
numbers are numbers and booleans booleans; a field that the database has as text already stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from edgelab.mappers.sdk.push.credentials import secret
from edgelab.mappers.sdk.push.sample import Sample
from edgelab.mappers.sdk.push.target import DEADLINE, Item, Refused, Target
from edgelab.mappers.sdk.push.web import Web, check, login_header
from edgelab.objects.pushmethods import Influxdb2

NUMBERS = ("int", "float", "double")
CONFLICT = b"already exists as type string"


class InfluxTarget(Target):
    """One bucket."""

    def __init__(self, method: Influxdb2) -> None:
        query = urlencode({"org": method.org, "bucket": method.bucket, "precision": "ns"})
        self._url = f"{method.url}/api/v2/write?{query}"
        self._login = login_header(method.login)
        self._web = Web(DEADLINE)
        self._texts: set[tuple[str, str]] = set()
        """Measurements and fields that hold text, whatever the property's type is."""

    async def send(self, items: Sequence[Item]) -> None:
        """All in one request."""
        try:
            await self._write(items)
        except Refused as error:
            if CONFLICT not in str(error).encode() or len(items) > 1:
                raise
            self._texts.add(_field(items[0]))
            await self._write(items)

    async def _write(self, items: Sequence[Item]) -> None:
        lines = [
            line(_method(item), item.sample, as_text=_field(item) in self._texts).encode() for item in items
        ]
        token = secret("TOKEN")
        login = {"Authorization": f"Token {token}"} if token else self._login
        headers = {"Content-Type": "text/plain; charset=utf-8", **login}
        check(await self._web.post(self._url, b"\n".join(lines), headers))

    async def close(self) -> None:
        """Hang up."""
        await self._web.close()


def line(method: Influxdb2, sample: Sample, *, as_text: bool = False) -> str:
    """One point, its time in nanoseconds."""
    tags = "".join(f",{_escape(key)}={_escape(value)}" for key, value in method.tags)
    measurement = method.measurement.replace(",", r"\,").replace(" ", r"\ ")
    value = _quoted(sample.value) if as_text else _value(sample)
    return f"{measurement}{tags} {_escape(method.field_key)}={value} {sample.nanoseconds}"


def _value(sample: Sample) -> str:
    if sample.type in NUMBERS:
        try:
            return repr(float(sample.value))
        except ValueError:
            return _quoted(sample.value)
    if sample.type == "boolean" and sample.value in ("true", "false"):
        return sample.value
    return _quoted(sample.value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escape(text: str) -> str:
    return text.replace(",", r"\,").replace("=", r"\=").replace(" ", r"\ ")


def _method(item: Item) -> Influxdb2:
    assert isinstance(item.method, Influxdb2)
    return item.method


def _field(item: Item) -> tuple[str, str]:
    method = _method(item)
    return method.measurement, method.field_key
