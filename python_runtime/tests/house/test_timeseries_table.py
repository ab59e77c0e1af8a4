"""The table of the way of a sample names tests that exist, in every row."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parents[1] / "docs" / "reference" / "timeseries.md"


def test_every_row_names_tests_that_exist() -> None:
    defined: set[str] = set()
    for file in (*TESTS.glob("**/twinexporter/test_*.py"), *TESTS.glob("kube/test_informer*.py")):
        defined |= set(re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE))
    section = PAGE.read_text().partition("## What is kept")[2]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 25
    for row in rows:
        names = set(re.findall(r"`(test_\w+)`", row))
        assert names, f"no test keeps the promise: {row}"
        assert names <= defined, f"{names - defined} does not exist"
