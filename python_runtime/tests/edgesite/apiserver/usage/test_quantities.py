from __future__ import annotations

import pytest

from edgelab.edgesite.apiserver.usage.quantities import cpu, duration, memory, nanocores


@pytest.mark.parametrize(
    ("cores", "text"),
    [(0, "0"), (1, "1n"), (103584367, "103584367n"), (250_000_000, "250m"), (2_000_000_000, "2")],
)
def test_cores(cores: int, text: str) -> None:
    assert cpu(cores) == text
    assert nanocores(text) == cores


@pytest.mark.parametrize(("size", "text"), [(0, "0"), (1025, "1025"), (5120, "5Ki"), (3 << 20, "3Mi")])
def test_memory(size: int, text: str) -> None:
    assert memory(size) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (15_028_000_000, "15.028s"),
        (2_000_000_000, "2s"),
        (60_500_000_000, "1m0.5s"),
        (3_600_000_000_000, "1h0m0s"),
    ],
)
def test_durations(nanoseconds: int, text: str) -> None:
    assert duration(nanoseconds) == text
