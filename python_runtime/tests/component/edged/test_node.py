"""Duties towards the node, with a real containerd."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from tests.component.edged.conftest import Bench, busybox, cgroup_root, make_pod

from edgelab.cri.api import runtime_pb2 as pb


async def test_a_static_pod_runs_offline_and_its_mirror_follows(bench: Bench) -> None:
    manifests = bench.base / "manifests"
    manifests.mkdir()
    bench.settings.tailoredKubeletConfig.staticPodPath = str(manifests)
    bench.meta.online = False
    described = make_pod("static", busybox("sleep", "1000"), terminationGracePeriodSeconds=1)
    name = described["metadata"]["name"]
    described["metadata"] = {"name": name}
    (manifests / "pod.yaml").write_text(json.dumps(described))
    edged = await bench.start()

    async def running() -> list[str]:
        found = await bench.runtime.list_containers({"io.kubernetes.pod.name": f"{name}-edge1"})
        return [container.id for container in found if container.state == pb.CONTAINER_RUNNING]

    deadline = time.monotonic() + 20
    while not await running() and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    before = await running()
    assert len(before) == 1
    await bench.stop()
    edged = await bench.start()
    bench.meta.online = True
    edged.connection_changed(True)
    await bench.until(
        lambda: bench.meta.statuses.get(f"{name}-edge1", {}).get("phase") == "Running", "status"
    )
    assert await running() == before, "the container outlived a restart without the cloud"
    mirror = bench.meta.mirrors[f"default/{name}-edge1"]
    edged.pod_changed(mirror)
    (manifests / "pod.yaml").unlink()
    await bench.until(lambda: not bench.meta.mirrors, "the mirror goes with the file")
    labels = {"io.kubernetes.pod.name": f"{name}-edge1"}
    deadline = time.monotonic() + 20
    while await bench.runtime.list_sandboxes(labels) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert list(await bench.runtime.list_sandboxes(labels)) == []


async def test_a_pod_of_an_older_copy_of_the_store_ends_when_the_cloud_does_not_know_it(bench: Bench) -> None:
    gone = make_pod("gone", busybox("sleep", "1000"), terminationGracePeriodSeconds=1)
    kept = make_pod("kept", busybox("sleep", "1000"), terminationGracePeriodSeconds=1)
    edged = await bench.start()
    edged.watch_store(lambda: ("RestoredFromCopy", "the store was damaged"), restored=True)
    bench.meta.unknown.add(gone["metadata"]["name"])
    for pod in (gone, kept):
        bench.apply(pod)
    await bench.phase(kept, "Running")
    await bench.until(lambda: gone["metadata"]["uid"] not in bench.meta.stored_pods, "dropped from the store")
    deadline = time.monotonic() + 20
    while await bench.sandboxes(gone) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert await bench.sandboxes(gone) == []
    assert len(await bench.containers(kept)) == 1


async def test_a_pods_group_has_the_limits_of_the_whole_pod(bench: Bench) -> None:
    edged = await bench.start()
    limits = {"cpu": "250m", "memory": "64Mi"}
    container = busybox("sleep", "1000", resources={"requests": limits, "limits": limits})
    pod = make_pod("limited", container, terminationGracePeriodSeconds=1)
    bench.apply(pod)
    await bench.phase(pod, "Running")
    group = f"{cgroup_root().lstrip('/')}/kubepods/pod{pod['metadata']['uid']}"
    mount = Path("/sys/fs/cgroup")
    names = ("memory.max", "memory.limit_in_bytes")
    found = [
        path for path in (mount / group / names[0], mount / "memory" / group / names[1]) if path.exists()
    ]
    assert [path.read_text().strip() for path in found] == [str(64 * 1024 * 1024)]
    await edged._duties.limit_groups()
    whole = [path.parents[1] / path.name for path in found]
    assert int(whole[0].read_text()) <= edged._view.machine.memory


async def test_containerd_says_which_cgroup_driver_it_has(bench: Bench) -> None:
    bench.settings.tailoredKubeletConfig.cgroupDriver = "systemd"
    edged = await bench.start()
    await bench.until(edged.begun.is_set, "begun")
    assert await bench.runtime.cgroup_driver() == "cgroupfs"
    pod = make_pod("driven", busybox("sleep", "1000"), terminationGracePeriodSeconds=1)
    bench.apply(pod)
    await bench.phase(pod, "Running")
