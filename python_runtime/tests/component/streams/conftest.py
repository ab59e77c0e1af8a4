"""One cloud with one node for all tests of a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.component.edged import containerd as private
from tests.component.edged.containerd import Containerd
from tests.component.streams.lab import StreamLab, StreamNode

CGROUP = f"/edgelab-streams-{os.getpid()}"


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    if missing := private.available():
        pytest.fail(f"component tests of streams: {missing}")
    archives = private.images()
    base = Path(tempfile.mkdtemp(prefix="streams-test-", dir="/var/tmp"))
    with private.own_namespaces():
        daemon = Containerd(base)
        daemon.start()
        try:
            daemon.load(archives)
            yield daemon
        finally:
            daemon.stop()
    private.remove_cgroups(CGROUP)
    for _ in range(20):  # what shims began while they were killed may still end
        points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for point in sorted((p for p in points if p.startswith(f"{base}/")), reverse=True):
            subprocess.run(["umount", "-l", point], check=False)
        shutil.rmtree(base, ignore_errors=True)
        if not base.exists():
            break
        time.sleep(0.1)


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
