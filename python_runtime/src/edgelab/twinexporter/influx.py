"""Samples over HTTP in Influx line protocol: VictoriaMetrics, vmagent, InfluxDB 1."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import aiohttp
from yarl import URL

from edgelab.daemon.errors import Fatal
from edgelab.twinexporter.samples import Device, Sample
from edgelab.twinexporter.sink import Away, Refused

MEASUREMENT = "kubeedge_device"
NAME = re.compile(r"[^A-Za-z0-9_]")
ESCAPES = str.maketrans({",": r"\,", " ": r"\ ", "=": r"\=", "\n": r"\ "})
NANOSECONDS = 1_000_000
REQUEST_SECONDS = 10.0
LONGEST_WAIT = 300.0
"""Seconds that a Retry-After may ask for."""
REFUSED = range(400, 500)
TRY_AGAIN = {408, 425, 429}


class InfluxSink:
    """A `Sink` that POSTs lines to one URL. Raises Fatal for what is no URL."""

    def __init__(self, url: str) -> None:
        try:
            parsed = URL(url)
        except ValueError:
            parsed = URL()
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise Fatal("--url wants the address of a database, such as http://127.0.0.1:8428/write")
        self.name = str(parsed.with_user(None).with_query(None))
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    def wants(self, sample: Sample) -> bool:
        """Only numbers."""
        return sample.number is not None

    async def open(self) -> None:
        """Make the pool of connections."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS))

    async def close(self) -> None:
        """Close them."""
        if self._session is not None:
            await self._session.close()

    async def write(self, batch: Sequence[Sample]) -> None:
        """Done with any 2xx. Raises Away, and Refused for other answers of 4xx than 408, 425 and 429."""
        assert self._session is not None
        body = "".join(line(sample) + "\n" for sample in batch).encode("utf-8", "replace")
        try:
            async with self._session.post(self._url, data=body) as answer:
                if answer.status < 300:
                    return
                why = f"{answer.status} {(await answer.text())[:200].strip()}"
                if answer.status in REFUSED and answer.status not in TRY_AGAIN:
                    raise Refused(why)
                raise Away(why, retry_after(answer.headers.get("Retry-After", "")))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Away(str(error) or type(error).__name__) from None

    async def gone(self, device: Device) -> None:
        """Series simply end."""

    async def settle(self, live: Collection[Device]) -> None:
        """As with `gone`."""


def line(sample: Sample) -> str:
    """`kubeedge_device,namespace=n,device=d,node=e temperature=1.5 <nanoseconds>`."""
    namespace, device = sample.device
    tags = {"namespace": namespace, "device": device, "node": sample.node}
    text = "".join(f",{key}={tag.translate(ESCAPES)}" for key, tag in tags.items() if tag)
    field = NAME.sub("_", sample.name) or "value"
    return f"{MEASUREMENT}{text} {field}={sample.number!r} {sample.milliseconds * NANOSECONDS}"


def retry_after(text: str) -> float:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), capped; 0 without one and for a date."""
    return min(float(text), LONGEST_WAIT) if text.isascii() and text.isdigit() else 0.0
