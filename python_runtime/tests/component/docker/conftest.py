"""A private dockerd, and an edged that drives it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.component.docker import dockerd
from tests.component.docker.dockerd import Dockerd
from tests.component.edged import containerd as private
from tests.component.edged.conftest import Bench, cgroup_root

PAUSE = private.REFERENCES["pause"]


@pytest.fixture(scope="module")
def docker() -> Iterator[Dockerd]:
    missing = dockerd.available()
    if missing:
        pytest.fail(f"component tests of Docker: {missing}")
    archives = private.images()
    base = Path(tempfile.mkdtemp(prefix="docker-test-", dir="/var/tmp"))
    with private.own_namespaces(), dockerd.unmounted(base):
        daemon = Dockerd(base)
        try:
            daemon.start()
            daemon.load(archives)
            yield daemon
        finally:
            daemon.stop()
    private.remove_cgroups(cgroup_root())
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
async def bench(docker: Dockerd, tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, docker.endpoint)
    bench.settings.podSandboxImage = PAUSE
    yield bench
    await bench.stop()
    for container in await bench.runtime.list_containers():
        await bench.runtime.stop_container(
            container.id, 0
        )  # without the ten seconds that a sandbox's stop gives
    await bench.clean()
