"""Real cgroups on this machine: made, entered by a real process, and gone afterwards. Needs root."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from nspawn_lab import cgroups

NAME = f"edgelab-test-{os.getpid()}"
ENTER = f"""
import sys, time
from nspawn_lab import cgroups
cgroups.enter(cgroups.create({NAME!r}))
print("in", flush=True)
time.sleep(60)
"""


@pytest.fixture
def member() -> Iterator[int]:
    """A process inside a group of its own in every hierarchy."""
    environment = {**os.environ, "PYTHONPATH": str(Path(cgroups.__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", ENTER], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        yield process.pid
        process.kill()
    cgroups.destroy(NAME)


def test_the_process_is_in_the_group_in_every_hierarchy(member: int) -> None:
    paths = cgroups.own_groups(str(member)).values()
    assert [path for path in paths if not path.startswith(f"/{NAME}")] == []
    assert member in cgroups.members(NAME)


def test_destroying_kills_the_members_and_removes_the_groups(member: int) -> None:
    assert NAME in cgroups.find("edgelab-test-")
    nested = next(mount for mount, unified in cgroups.hierarchies()) / NAME / "nested"
    nested.mkdir()
    assert cgroups.destroy(NAME)
    assert NAME not in cgroups.find("edgelab-test-")
    assert cgroups.members(NAME) == set()


def test_destroying_what_is_not_there_is_no_change() -> None:
    assert not cgroups.destroy("edgelab-test-never-made")
