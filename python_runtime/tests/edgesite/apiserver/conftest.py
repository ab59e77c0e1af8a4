"""A fresh site for each test."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.edgesite.apiserver.running import Client, running


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A fresh site."""
    with tempfile.TemporaryDirectory(prefix="edgesite-") as directory:
        async with running(Path(directory)) as found:
            yield found
