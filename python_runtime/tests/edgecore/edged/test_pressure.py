"""Thresholds, ranking and the order in which room is made; and that a verdict outlives EdgeCore."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.edgecore.edged.desk import driven, working
from tests.edgecore.edged.samples import HandClock

from edgelab.edgecore.edged.pressure import ranking
from edgelab.edgecore.edged.pressure.manager import Evictions, Hands
from edgelab.edgecore.edged.pressure.ranking import ContainerUse, Use
from edgelab.edgecore.edged.pressure.thresholds import DISK, MEMORY, Judge, Level, Threshold, parse
from edgelab.edgecore.edged.pressure.usage import weigh
from edgelab.edgecore.edged.verdicts import Verdict
from edgelab.edgecore.edged.worker import PodWorker
from edgelab.settings.kubelet import TailoredKubeletConfig

Obj = dict[str, Any]
MI = 1024 * 1024


def pod(name: str, *, request: str = "", priority: int = 0, **spec: Any) -> Obj:
    container: Obj = {"name": "main", "image": "busybox:1"}
    if request:
        container["resources"] = {"requests": {"memory": request, "ephemeral-storage": request}}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [container], "priority": priority, **spec},
    }


def using(memory: int = 0, **more: Any) -> Use:
    return Use({"main": ContainerUse(memory=memory * MI)}, **more)


def names(pods: Sequence[Obj]) -> list[str]:
    return [found["metadata"]["name"] for found in pods]


class Machine:
    """What the manager observes and does, in memory."""

    def __init__(self, pods: list[Obj], uses: dict[str, Use], **levels: Level) -> None:
        self.found = {name.replace("_", "."): level for name, level in levels.items()}
        self.pods, self.uses = pods, uses
        self.done: list[str] = []
        self.verdicts: dict[str, Verdict] = {}
        self.after_reclaim: dict[str, Level] = {}

    async def levels(self) -> dict[str, Level]:
        return dict(self.found)

    async def of_pods(self, pods: Sequence[Obj], *, disk: bool) -> dict[str, Use]:
        return self.uses

    async def end(self, uid: str, verdict: Verdict) -> None:
        self.done.append(f"end {uid}")
        self.verdicts[uid] = verdict
        self.pods = [p for p in self.pods if p["metadata"]["uid"] != uid]

    async def reclaim(self) -> None:
        self.done.append("reclaim")
        self.found |= self.after_reclaim

    def manager(self, config: TailoredKubeletConfig, clock: HandClock) -> Evictions:
        hands = Hands(
            pods=lambda: self.pods,
            end=self.end,
            reclaim={"nodefs.available": self.reclaim},
            warn_node=lambda reason, message: self.done.append(f"{reason}: {message}"),
            warn_pod=lambda about, reason, message: None,
            changed=lambda: self.done.append("status"),
        )
        judge = Judge(parse(config), 300)
        return Evictions(judge, self, hands, clock, max_grace=7, limits=True)


def config(**fields: Any) -> TailoredKubeletConfig:
    return TailoredKubeletConfig(**{"evictionHard": {"memory.available": "100Mi"}, **fields})


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("evictionHard", {"memory.left": "1Mi"}, "evictionHard: 'memory.left' is none of memory.available"),
        ("evictionHard", {"memory.available": "much"}, "evictionHard: memory.available: 'much' is neither"),
        ("evictionHard", {"memory.available": "120%"}, "not between 0% and 100%"),
        ("evictionSoft", {"memory.available": "1Mi"}, "evictionSoftGracePeriod: memory.available is missing"),
    ],
)
def test_a_threshold_that_cannot_be_read_is_named(field: str, value: Obj, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse(config(**{field: value}))


def test_zero_percent_is_no_threshold() -> None:
    assert parse(config(evictionHard={"nodefs.available": "0%", "pid.available": "5%"})) == [
        Threshold("pid.available", "5%")
    ]


def test_a_soft_threshold_waits_for_its_grace_and_a_condition_lasts_for_the_transition() -> None:
    soft = config(
        evictionHard={},
        evictionSoft={"memory.available": "200Mi"},
        evictionSoftGracePeriod={"memory.available": "1m30s"},
    )
    judge = Judge(parse(soft), transition=300)
    low, enough = {"memory.available": Level(150 * MI, 1000 * MI)}, {"memory.available": Level(900, 1000)}
    enough = {"memory.available": Level(900 * MI, 1000 * MI)}
    assert judge.judge(low, 0) == []
    assert judge.conditions == [MEMORY]
    assert judge.judge(low, 89) == []
    assert [t.signal for t in judge.judge(low, 90)] == ["memory.available"]
    assert judge.judge(enough, 100) == []
    assert judge.conditions == [MEMORY], "not before the transition period is over"
    judge.judge(enough, 389)
    assert judge.conditions == [MEMORY]
    judge.judge(enough, 391)
    assert judge.conditions == []
    assert judge.judge(low, 400) == [], "the grace period begins anew"


def test_the_minimum_to_reclaim_keeps_a_threshold_met() -> None:
    judge = Judge(parse(config(evictionMinimumReclaim={"memory.available": "50Mi"})), 0)

    def at(mebibytes: int) -> list[Threshold]:
        return judge.judge({"memory.available": Level(mebibytes * MI, 1000 * MI)}, 0)

    assert at(120) == []
    assert len(at(99)) == 1
    assert len(at(149)) == 1
    assert at(150) == []
    assert at(120) == []


def test_pods_above_their_requests_go_first_then_by_priority_then_by_excess() -> None:
    pods = [
        pod("modest", request="100Mi"),
        pod("important", priority=1000),
        pod("greedy"),
        pod("small"),
        pod("unknown", priority=5),
    ]
    uses = {"modest": using(90), "important": using(900), "greedy": using(500), "small": using(10)}
    assert names(ranking.rank(pods, uses, "memory.available")) == [
        "unknown",
        "greedy",
        "small",
        "important",
        "modest",
    ]
    processes = {"greedy": using(processes=5), "small": using(processes=50), "modest": using()}
    assert names(ranking.rank(pods[:1] + pods[2:4], processes, "pid.available")) == [
        "small",
        "greedy",
        "modest",
    ]


async def test_a_pod_is_evicted_in_the_words_of_the_kubelet() -> None:
    victim = pod("greedy", request="10Mi")
    machine = Machine([pod("fine", request="1Gi"), victim], {"greedy": using(64), "fine": using(5)})
    machine.found["memory.available"] = Level(50 * MI, 1000 * MI)
    manager = machine.manager(config(), HandClock())
    assert await manager.look()
    assert machine.verdicts["greedy"] == Verdict(
        "Evicted",
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container main was using 64Mi, request is 10Mi, has larger consumption of memory. ",
        1,
        disrupted=True,
    )
    assert machine.done == ["status", "EvictionThresholdMet: Attempting to reclaim memory", "end greedy"]


async def test_room_is_made_before_pods_are_ended() -> None:
    machine = Machine([pod("a")], {"a": using()}, nodefs_available=Level(5, 100))
    machine.after_reclaim = {"nodefs.available": Level(30, 100)}
    manager = machine.manager(config(evictionHard={"nodefs.available": "10%"}), HandClock())
    assert not await manager.look()
    assert machine.done[-1] == "reclaim"
    assert manager.conditions == [DISK]
    machine.found["nodefs.available"] = Level(5, 100)
    machine.after_reclaim = {}
    assert await manager.look()
    assert machine.done[-2:] == ["reclaim", "end a"]


async def test_static_and_critical_pods_stay() -> None:
    static, mirror = pod("static"), pod("mirror")
    static["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "hash"}
    machine = Machine([static, mirror, pod("system", priority=2_000_000_000)], {})
    machine.found["memory.available"] = Level(0, 1000 * MI)
    assert not await machine.manager(config(), HandClock()).look()
    assert machine.verdicts == {}


async def test_under_memory_pressure_only_best_effort_pods_are_refused() -> None:
    machine = Machine([], {})
    machine.found["memory.available"] = Level(0, 1000 * MI)
    manager = machine.manager(
        config(evictionHard={"memory.available": "1%", "nodefs.available": "1%"}), HandClock()
    )
    assert manager.refusal(pod("early")) is None
    await manager.look()
    assert manager.refusal(pod("late")) == Verdict("Evicted", "The node had condition: [MemoryPressure]. ")
    assert manager.refusal(pod("burstable", request="1Mi")) is None
    toleration = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}
    assert manager.refusal(pod("tolerant", tolerations=[toleration])) is None
    machine.found["nodefs.available"] = Level(0, 1000)
    await manager.look()
    refusal = manager.refusal(pod("burstable", request="1Mi"))
    assert refusal is not None
    assert refusal.message == "The node had condition: [MemoryPressure DiskPressure]. "
    assert manager.refusal(pod("system", priority=2_000_000_000)) is None


async def test_limits_of_local_storage_end_a_pod_and_are_looked_at_once_a_minute() -> None:
    full = pod("full", volumes=[{"name": "cache", "emptyDir": {"sizeLimit": "10Mi"}}])
    machine = Machine([full, pod("other")], {"full": using(volumes={"cache": 11 * MI}), "other": using()})
    clock = HandClock()
    manager = machine.manager(config(evictionHard={}), clock)
    assert await manager.look()
    assert machine.verdicts["full"].message == 'Usage of EmptyDir volume "cache" exceeds the limit "10Mi". '
    machine.pods.append(full)
    clock.moment += 50
    assert not await manager.look()
    clock.moment += 11
    assert await manager.look()


def test_ephemeral_storage_limits_count_layers_logs_and_volumes() -> None:
    bounded = pod("bounded")
    bounded["spec"]["containers"][0]["resources"] = {"limits": {"ephemeral-storage": "10Mi"}}
    assert ranking.limited(bounded)
    assert not ranking.limited(pod("free"))
    mostly = Use({"main": ContainerUse(writable=4 * MI, logs=4 * MI)})
    assert ranking.over_limit(bounded, mostly) == ""
    mostly.volumes["scratch"] = 3 * MI
    assert ranking.over_limit(bounded, mostly) == (
        "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. "
    )


def test_weighing_counts_hard_links_once_and_does_not_follow_links(tmp_path: Path) -> None:
    inner = tmp_path / "top" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"x" * 100_000)
    (inner / "link").hardlink_to(inner / "file")
    (inner / "away").symlink_to("/usr")
    size, inodes = weigh([tmp_path / "top"])
    assert 100_000 <= size < 200_000
    assert inodes == 4


def test_quantities_are_printed_as_go_does() -> None:
    assert [ranking.binary(n) for n in (0, 1023, 1024, 100 * MI, 1536 * MI)] == [
        "0",
        "1023",
        "1Ki",
        "100Mi",
        "1536Mi",
    ]


@driven
async def test_an_evicted_pod_is_failed_ended_and_stays_so_after_a_restart(tmp_path: Path) -> None:
    described = pod("web")
    described["spec"]["terminationGracePeriodSeconds"] = 30
    async with working(tmp_path, copy.deepcopy(described)) as desk:
        await desk.until(lambda: desk.phase == "Running")
        desk.worker.fail(Verdict("Evicted", "The node was low on resource: memory. ", 1, disrupted=True))
        await desk.until(desk.worker.stopped.is_set)
        assert desk.runtime.running() == []
        assert desk.runtime.grace["main"] == 2, "the least that a process gets"
        assert (desk.phase, desk.status["reason"]) == ("Failed", "Evicted")
        assert desk.condition("DisruptionTarget")["reason"] == "TerminationByKubelet"
        kit = desk.kit
        again = PodWorker(kit, copy.deepcopy(described))  # as after a restart without the cloud
        task = asyncio.create_task(again.run())
        await desk.until(again.stopped.is_set)
        task.cancel()
        assert desk.runtime.running() == []
        assert kit.reports.last(described)["reason"] == "Evicted"
