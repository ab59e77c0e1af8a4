"""Make the collection of this checkout importable under its full name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "collections"))

from tests.unit.module_harness import FakeKeadm


@pytest.fixture
def keadm(tmp_path: Path) -> FakeKeadm:
    """A keadm that answers what the test wants."""
    return FakeKeadm(tmp_path)


@pytest.fixture
def cluster(keadm: FakeKeadm, tmp_path: Path) -> dict[str, str]:
    """Options of a module that asks this keadm about a cluster."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("")
    return {"keadm": str(keadm.path), "kubeconfig": str(kubeconfig)}
