"""The lab of this checkout, brought up once for all integration tests with `make up`.

EDGELAB_REUSE=1 takes the lab as it runs and leaves it running; without it the tests start from
nothing and end with nothing.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration import footprint
from tests.integration.lab import CHECKOUT, Lab

REUSE = os.environ.get("EDGELAB_REUSE") == "1"


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The running lab, everything deployed."""
    lab = Lab()
    if REUSE and (lab.state / "lab.json").exists():
        yield lab
        return
    lab.run("make", "down", check=False, deadline=120)
    before = footprint.take(lab.definition)
    lab.run("make", "up", deadline=900)
    yield lab
    if not REUSE:
        lab.run("make", "down", deadline=120)
        left = footprint.added(before, footprint.take(lab.definition))
        assert not left, f"make down left behind: {left}"


@pytest.fixture(scope="session")
def rootfs() -> None:
    """The cached root file system, built by the same playbook that `make up` uses."""
    if not (CHECKOUT / ".cache" / "rootfs").is_dir():
        subprocess.run(["make", "lab-up"], cwd=CHECKOUT, check=True)
        subprocess.run(["make", "down"], cwd=CHECKOUT, check=True)
