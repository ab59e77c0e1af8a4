"""A place with devices for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.component.devices.place import Place, standing
from tests.component.twinexporter.conftest import VictoriaMetrics


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with standing(tmp_path) as found:
        yield found


@pytest.fixture
def database(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    database = VictoriaMetrics(tmp_path / "vm")
    database.start()
    yield database
    database.stop()
