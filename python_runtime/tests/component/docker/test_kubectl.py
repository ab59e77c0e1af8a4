"""A real kubectl, through EdgeSite, CloudCore and EdgeCore to a real dockerd: as with containerd."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.component.docker.dockerd import Dockerd
from tests.component.edged.conftest import cgroup_root
from tests.component.streams.lab import StreamLab, StreamNode
from tests.component.streams.test_kubectl import (
    test_a_command_has_input_outputs_and_an_exit_code,
    test_attach_joins_what_runs,
    test_files_are_copied_both_ways,
    test_logs_come_are_followed_and_end_when_nobody_reads,
    test_ports_are_forwarded_to_the_pod,
)

from edgelab.cri.choice import connect

pytestmark = pytest.mark.usefixtures("node")

__all__ = [
    "test_a_command_has_input_outputs_and_an_exit_code",
    "test_attach_joins_what_runs",
    "test_files_are_copied_both_ways",
    "test_logs_come_are_followed_and_end_when_nobody_reads",
    "test_ports_are_forwarded_to_the_pod",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, docker: Dockerd) -> Iterator[StreamLab]:
    lab = StreamLab(tmp_path_factory.mktemp("lab"))
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, lab: StreamLab, docker: Dockerd) -> Iterator[StreamNode]:
    node = StreamNode(lab, tmp_path_factory.mktemp("edge"), docker, cgroup_root())
    try:
        node.core.start()
        yield node
    finally:
        node.core.stop()
        asyncio.run(_clear(docker))


async def _clear(docker: Dockerd) -> None:
    """Containers outlive EdgeCore and, as dockerd is set up here, dockerd."""
    runtime = connect(docker.endpoint)
    for container in await runtime.list_containers():
        await runtime.stop_container(container.id, 0)
    for sandbox in await runtime.list_sandboxes():
        await runtime.remove_sandbox(sandbox.id)
