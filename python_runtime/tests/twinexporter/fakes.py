"""A sink in memory that can be told to fail, and samples."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from edgelab.twinexporter.samples import Device, Sample


def sample(at: int, name: str = "t", device: str = "d") -> Sample:
    return Sample(("n", device), "e", name, str(at), at, float(at))


class ListSink:
    """Keeps what it takes; `errors` are raised first, one an attempt."""

    name = "http://database/write"

    def __init__(self) -> None:
        self.taken: list[Sample | Device] = []
        self.settled: list[set[Device]] = []
        self.errors: list[Exception] = []
        self.attempts = 0

    def wants(self, sample: Sample) -> bool:
        return sample.number is not None

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def _try(self) -> None:
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)

    async def write(self, batch: Sequence[Sample]) -> None:
        self._try()
        self.taken += batch

    async def gone(self, device: Device) -> None:
        self._try()
        self.taken.append(device)

    async def settle(self, live: Collection[Device]) -> None:
        self._try()
        self.settled.append(set(live))
