"""One cloud with one node for all tests of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.component.edged import containerd as private
from tests.component.edged.containerd import Containerd
from tests.component.streams.lab import StreamLab, StreamNode

CGROUP = f"/edgelab-streams-{os.getpid()}"


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    if missing := private.available():
        pytest.fail(f"component tests of streams: {missing}")
    with private.running("streams-test-", CGROUP) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, containerd: Containerd) -> Iterator[StreamLab]:
    lab = StreamLab(tmp_path_factory.mktemp("lab"))
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, lab: StreamLab, containerd: Containerd
) -> Iterator[StreamNode]:
    node = StreamNode(lab, tmp_path_factory.mktemp("edge"), containerd, CGROUP)
    try:
        node.core.start()
        yield node
    finally:
        node.core.stop()
