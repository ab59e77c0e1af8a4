"""Limits of whole pods and of their classes, on either cgroup version and with either driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.edgecore.edged.samples import pod as sample

from edgelab.edgecore.edged import podgroups
from edgelab.edgecore.edged.builder import NodeSettings
from edgelab.edgecore.edged.podgroups import Limits

Obj = dict[str, Any]
MI = 1024 * 1024


def node(**more: Any) -> NodeSettings:
    return NodeSettings(name="edge1", root=Path("/r"), log_root=Path("/l"), memory=1000 * MI, **more)


def container(name: str = "main", requests: Obj | None = None, limits: Obj | None = None, **more: Any) -> Obj:
    return {
        "name": name,
        "image": "a:1",
        "resources": {"requests": requests or {}, "limits": limits or {}},
        **more,
    }


def test_a_guaranteed_pod_gets_the_sum_of_its_limits() -> None:
    each = {"cpu": "500m", "memory": "100Mi"}
    found = podgroups.of_pod(sample(container("a", limits=each), container("b", limits=each)), node())
    assert found == Limits(1024, 100_000, 100_000, 200 * MI, None)


def test_a_container_without_a_limit_frees_the_pod_of_it() -> None:
    one = container("a", requests={"cpu": "250m"}, limits={"cpu": "1", "memory": "10Mi"})
    two = container("b", limits={"memory": "10Mi"})
    assert podgroups.of_pod(sample(one, two), node()) == Limits(256, None, 100_000, 20 * MI, None)


def test_a_best_effort_pod_weighs_least_and_may_be_bounded_in_processes() -> None:
    assert podgroups.of_pod(sample(container()), node(pids_limit=100)) == Limits(2, pids=100)


def test_init_containers_count_by_the_largest_and_sidecars_with_the_others() -> None:
    init = [
        container("prepare", limits={"cpu": "2", "memory": "300Mi"}),
        container("sidecar", limits={"cpu": "1", "memory": "50Mi"}, restartPolicy="Always"),
    ]
    made = sample(container("main", limits={"cpu": "500m", "memory": "100Mi"}), initContainers=init)
    assert podgroups.of_pod(made, node()) == Limits(2048, 200_000, 100_000, 300 * MI, None)


def test_no_quota_where_the_settings_say_so() -> None:
    each = {"cpu": "500m", "memory": "100Mi"}
    assert podgroups.of_pod(sample(container(limits=each)), node(cfs_quota=False)).quota is None


def test_classes_and_all_pods() -> None:
    burstable = sample(container(requests={"cpu": "300m"}))
    assert podgroups.of_burstable([burstable, burstable, sample(container())]) == Limits(614)
    allocatable = {"cpu": "1500m", "memory": "900Mi"}
    assert podgroups.of_all(allocatable, 100 * MI, node()) == Limits(1536, memory=900 * MI)
    assert podgroups.class_groups(node(cgroup_root="/x")) == {
        "all": "/x/kubepods",
        "burstable": "/x/kubepods/burstable",
        "besteffort": "/x/kubepods/besteffort",
    }
    assert podgroups.class_groups(node(cgroup_driver="systemd"))["burstable"] == "kubepods-burstable.slice"
    assert podgroups.class_groups(node(cgroups_per_qos=False)) == {}


def tree(mount: Path, *paths: str) -> None:
    for path in paths:
        (mount / path).parent.mkdir(parents=True, exist_ok=True)
        (mount / path).write_text("")


LIMITS = Limits(512, 50_000, 100_000, 64 * MI, 30)


async def test_version_2_has_one_tree(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "cgroup.controllers",
        *(f"k/p/{f}" for f in ("cpu.weight", "cpu.max", "memory.max", "pids.max")),
    )
    await podgroups.apply("/k/p", LIMITS, tmp_path)
    found = {path.name: path.read_text() for path in (tmp_path / "k/p").iterdir()}
    assert found == {
        "cpu.weight": "20",
        "cpu.max": "50000 100000",
        "memory.max": str(64 * MI),
        "pids.max": "30",
    }


async def test_version_1_has_a_tree_for_each_controller_and_missing_ones_are_left_out(tmp_path: Path) -> None:
    tree(tmp_path, "cpu/k/cpu.shares", "cpu/k/cpu.cfs_period_us", "cpu/k/cpu.cfs_quota_us")
    tree(tmp_path, "memory/k/memory.limit_in_bytes")
    await podgroups.apply("/k", LIMITS, tmp_path)
    assert (tmp_path / "cpu/k/cpu.cfs_quota_us").read_text() == "50000"
    assert (tmp_path / "memory/k/memory.limit_in_bytes").read_text() == str(64 * MI)
    assert not (tmp_path / "pids").exists()


async def test_a_limit_that_cannot_be_set_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cpu/k/cpu.shares").mkdir(parents=True)  # not a file: writing fails
    for _ in range(2):
        await podgroups.apply("/k", Limits(512), tmp_path)
    assert caplog.text.count("cpu.shares of the pods' control groups cannot be set") == 1


async def test_systemd_is_asked_for_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class FakeBus:
        async def __aenter__(self) -> FakeBus:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        async def call(self, *arguments: Any) -> list[Any]:
            asked.append(arguments[3:])
            return []

    monkeypatch.setattr(podgroups, "Bus", FakeBus)
    tree(tmp_path, "cgroup.controllers")
    await podgroups.apply("kubepods-podx.slice", LIMITS, tmp_path)
    properties = [
        ("CPUWeight", ("t", 20)),
        ("CPUQuotaPerSecUSec", ("t", 500_000)),
        ("MemoryMax", ("t", 64 * MI)),
        ("TasksMax", ("t", 30)),
    ]
    assert asked == [("SetUnitProperties", "sba(sv)", "kubepods-podx.slice", True, properties)]
