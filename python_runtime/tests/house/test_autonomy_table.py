"""The autonomy contract names tests that exist, in every row."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
CONTRACT = TESTS.parents[1] / "docs" / "reference" / "autonomy.md"


def rows() -> list[list[str]]:
    section = CONTRACT.read_text().partition("## The contract")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_row_of_the_contract_names_tests_that_exist() -> None:
    defined = set()
    for path in (TESTS / "component", TESTS / "edgecore"):
        for file in path.rglob("test_*.py"):
            defined |= set(re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE))
    found = rows()
    assert len(found) >= 10
    for when, what, named in found:
        names = re.findall(r"`(test_\w+)`", named)
        assert names, f"no test keeps the promise: {when}: {what}"
        assert set(names) <= defined, f"{set(names) - defined} of the row {when!r} does not exist"


def test_the_four_situations_are_covered() -> None:
    situations = {when.split(",")[0] for when, _, _ in rows()}
    assert {
        "the cloud is gone",
        "EdgeCore restarted",
        "the container runtime restarted",
        "the host restarted",
    } <= situations
