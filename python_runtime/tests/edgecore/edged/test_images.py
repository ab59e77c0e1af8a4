"""Pulling as the kubelet words it, credentials, and which images and leftovers may go."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.component.edged.meta import FakeMeta
from tests.edgecore.edged.fake_runtime import FakeRuntime
from tests.edgecore.edged.samples import HandClock
from tests.edgecore.edged.samples import pod as sample

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError
from edgelab.edgecore.edged import credentials, names
from edgelab.edgecore.edged.events import Recorder
from edgelab.edgecore.edged.imagegc import ImageGC, Policy
from edgelab.edgecore.edged.images import Images, PullRate, invalid
from edgelab.edgecore.edged.leftovers import Leftovers
from edgelab.edgecore.edged.leftovers import Policy as ContainerPolicy
from edgelab.edgecore.edged.pressure.thresholds import Level
from edgelab.edgecore.edged.problems import ContainerProblem

Obj = dict[str, Any]
SANDBOX = pb.PodSandboxConfig()


class Registry(FakeRuntime):
    """A runtime whose images are pulled from a registry that wants one of `accepted`."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.stock: dict[str, pb.Image] = {}
        self.accepted: set[str] = {""}
        self.asked: list[str] = []
        self.containers: list[pb.Container] = []
        self.removed: list[str] = []

    async def image(self, reference: str) -> pb.Image | None:
        return self.stock.get(reference)

    async def images(self) -> Sequence[pb.Image]:
        return list(self.stock.values())

    async def pull_image(
        self, reference: str, auth: pb.AuthConfig | None = None, sandbox: pb.PodSandboxConfig | None = None
    ) -> str:
        user = auth.username if auth else ""
        self.asked.append(user)
        if user not in self.accepted:
            raise CriError("UNKNOWN", "pull access denied")
        self.stock[reference] = pb.Image(id="sha256:1", repo_tags=[reference], size=7)
        return reference

    async def remove_image(self, reference: str) -> None:
        self.removed.append(reference)
        self.stock = {name: image for name, image in self.stock.items() if image.id != reference}

    async def list_containers(self, labels: Any = None) -> Sequence[pb.Container]:
        return self.containers

    async def remove_container(self, container: str) -> None:
        self.removed.append(container)
        self.containers = [found for found in self.containers if found.id != container]


def docker_config(**auths: str) -> Obj:
    """A Secret of type kubernetes.io/dockerconfigjson; user names by server."""
    entries = {
        server: {"auth": base64.b64encode(f"{user}:geheim".encode()).decode()}
        for server, user in auths.items()
    }
    text = json.dumps({"auths": entries}).encode()
    return {"data": {".dockerconfigjson": base64.b64encode(text).decode()}}


class Shop:
    """Images with all that they need; `events` by reason."""

    def __init__(self, rate: PullRate | None = None) -> None:
        self.clock, self.meta = HandClock(), FakeMeta()
        self.runtime = Registry(self.clock)
        self.recorder = Recorder(self.meta, self.clock, "edge1", enabled=True)
        self.images = Images(self.runtime, self.meta, self.clock, parallel=1, events=self.recorder, rate=rate)

    async def ensure(self, image: str, policy: str = "IfNotPresent", **spec: Any) -> pb.Image:
        container = {"name": "main", "image": image, "imagePullPolicy": policy}
        return await self.images.ensure(sample(container, **spec), container, SANDBOX)

    async def problem(self, image: str, policy: str = "IfNotPresent", **spec: Any) -> tuple[str, str]:
        with pytest.raises(ContainerProblem) as caught:
            await self.ensure(image, policy, **spec)
        return caught.value.reason, caught.value.message

    def told(self) -> list[tuple[str, str, str]]:
        waiting = [known.event for known in self.recorder._waiting.values()]
        return [(e["reason"], e["message"], e["involvedObject"].get("fieldPath", "")) for e in waiting]


async def test_policies() -> None:
    shop = Shop()
    assert await shop.problem("web:1", "Never") == (
        "ErrImageNeverPull",
        'Container image "web:1" is not present with pull policy of Never',
    )
    await shop.ensure("web:1")
    await shop.ensure("web:1")
    await shop.ensure("web:1", "Never")
    assert len(shop.runtime.asked) == 1
    await shop.ensure("web:1", "Always")
    assert len(shop.runtime.asked) == 2
    reasons = [reason for reason, _, _ in shop.told()]
    assert reasons == ["ErrImageNeverPull", "Pulling", "Pulled", "Pulled"]
    assert shop.told()[-1] == (
        "Pulled",
        'Container image "web:1" already present on machine',
        "spec.containers{main}",
    )


async def test_a_pull_that_fails_backs_off_from_10_s_to_5_min_and_says_why() -> None:
    shop = Shop()
    shop.runtime.accepted = set()
    denied = ("ErrImagePull", "pull access denied")
    waits = []
    for _ in range(7):
        assert await shop.problem("web") == denied
        began = shop.clock.moment
        assert await shop.problem("web") == (
            "ImagePullBackOff",
            'Back-off pulling image "web": ErrImagePull: pull access denied',
        )
        end = shop.images.retry_at()
        assert end is not None
        shop.clock.moment = end
        waits.append(round(end - began))
    assert waits == [10, 20, 40, 80, 160, 300, 300]
    shop.runtime.accepted = {""}
    await shop.ensure("web")
    assert (
        "Failed",
        'Failed to pull image "web": pull access denied',
        "spec.containers{main}",
    ) in shop.told()


@pytest.mark.parametrize("image", ["UPPER", "registry.local/Web:1", "web:", "web@sha256:12", "", "a b"])
async def test_a_name_that_is_none_is_not_asked_for(image: str) -> None:
    shop = Shop()
    reason, message = await shop.problem(image)
    assert reason == "InvalidImageName"
    assert message.startswith(f'Failed to apply default image tag "{image}": couldn\'t parse image name')
    assert shop.runtime.asked == []


@pytest.mark.parametrize(
    "image",
    ["web", "web:1.2-a_b", "library/web", "localhost:5000/a/b__c:1", "r.example.org/x@sha256:" + "0" * 64],
)
def test_names_that_are_good(image: str) -> None:
    assert invalid(image) == ""


async def test_secrets_are_tried_the_most_specific_first_and_nobody_is_told_them() -> None:
    shop = Shop()
    shop.meta.objects["secret", "default", "wide"] = docker_config(**{"r.example.org": "wide"})
    shop.meta.objects["secret", "default", "many"] = docker_config(
        **{"https://r.example.org/team/": "team", "*.example.org": "star", "other.org": "other"}
    )
    shop.runtime.accepted = {"wide"}
    refs = [{"name": "many"}, {"name": "wide"}, {"name": "missing"}]
    await shop.ensure("r.example.org/team/web:1", imagePullSecrets=refs)
    assert shop.runtime.asked == ["team", "star", "wide"]
    text = str(shop.told())
    assert "Unable to retrieve some image pull secrets (missing)" in text
    assert "geheim" not in text


def test_the_older_form_docker_hub_and_broken_secrets() -> None:
    old = {"https://index.docker.io/v1/": {"username": "hub", "password": "p"}}
    secret = {"data": {".dockercfg": base64.b64encode(json.dumps(old).encode()).decode()}}
    assert [auth.username for auth in credentials.matching(secret, "nginx:1")] == ["hub"]
    assert credentials.matching(secret, "r.example.org/nginx") == []
    assert credentials.matching(docker_config(**{"r.example.org/team": "t"}), "r.example.org/teams/x") == []
    with pytest.raises(ValueError, match="no Docker configuration"):
        credentials.matching({"data": {".dockercfg": "bm9uZQ=="}}, "nginx")


async def test_pulls_beyond_the_rate_fail_at_once() -> None:
    clock = HandClock()
    shop = Shop(PullRate(1, 2, clock))
    await shop.ensure("a:1")
    await shop.ensure("b:1")
    assert await shop.problem("c:1") == ("ErrImagePull", "pull QPS exceeded")
    clock.moment += 1
    shop.clock.moment += 11
    await shop.ensure("c:1")


def gc(runtime: Registry, clock: HandClock, level: Level | None, **policy: Any) -> tuple[ImageGC, list[str]]:
    told: list[str] = []
    made = Policy(
        **{"high": 85, "low": 80, "minimum_age": 120, "maximum_age": 0, "sandbox": "x/pause:3", **policy}
    )
    return ImageGC(runtime, clock, made, level=lambda: level, warn=lambda r, m: told.append(r)), told


def stock(runtime: Registry, **sizes: int) -> None:
    for name, size in sizes.items():
        tag = name.replace("_", "/") + ":1"
        runtime.stock[tag] = pb.Image(id=name, repo_tags=[tag], size=size)


async def test_unused_images_go_down_to_the_low_threshold_the_longest_unused_first() -> None:
    clock = HandClock()
    runtime = Registry(clock)
    stock(runtime, used=5, x_pause=1, old=6, older=6, pinned=9)
    runtime.stock["pinned:1"].pinned = True
    runtime.containers = [pb.Container(id="c", image_ref="used"), pb.Container(id="d", image_ref="old")]
    collector, told = gc(runtime, clock, Level(10, 100))
    await collector._detect()
    clock.moment += 10
    runtime.containers.append(pb.Container(id="e", image_ref="older"))
    await collector._detect()
    runtime.containers = runtime.containers[:1]
    clock.moment += 10
    await collector.look()
    assert runtime.removed == ["old", "older"], "10 bytes were to go"
    assert told == []
    clock.moment += 10
    await collector.look()
    assert told == ["FreeDiskSpaceFailed"]
    assert {image.id for image in runtime.stock.values()} == {"used", "x_pause", "pinned"}
    await collector.look()
    assert told == ["FreeDiskSpaceFailed"], "told once"


async def test_a_new_image_stays_for_its_minimum_age_and_an_old_one_goes_at_its_maximum() -> None:
    clock = HandClock()
    runtime = Registry(clock)
    collector, _ = gc(runtime, clock, Level(50, 100), maximum_age=1000)
    await collector.look()
    stock(runtime, fresh=5)
    assert await collector.free() == 0
    clock.moment += 119
    assert await collector.free() == 0
    clock.moment += 2
    stock(runtime, fresher=5)
    assert await collector.free() == 5
    clock.moment += 990
    await collector.look()
    assert [image.id for image in runtime.stock.values()] == ["fresher"]
    clock.moment += 20
    await collector.look()
    assert runtime.removed == ["fresh", "fresher"]


async def test_the_node_shows_its_largest_images() -> None:
    clock = HandClock()
    runtime = Registry(clock)
    stock(runtime, small=1, big=3, middle=2)
    collector, _ = gc(runtime, clock, None)
    await collector.look()
    assert collector.shown(2) == [
        {"names": ["big:1"], "sizeBytes": 3},
        {"names": ["middle:1"], "sizeBytes": 2},
    ]
    assert len(collector.shown(-1)) == 3


def dead(identity: str, uid: str, created: float, name: str = "main") -> pb.Container:
    labels = {names.POD_UID: uid, names.CONTAINER_NAME: name, names.POD_NAME: "p", names.POD_NAMESPACE: "d"}
    return pb.Container(
        id=identity,
        state=pb.CONTAINER_EXITED,
        created_at=int(created * 1e9),
        labels=labels,
        annotations={names.RESTART_COUNT: identity},
    )


async def test_dead_containers_beyond_the_policy_go_with_their_logs(tmp_path: Path) -> None:
    clock = HandClock()
    runtime, now = Registry(clock), clock.moment
    alive = dead("9", "u1", now - 50)
    alive.state = pb.CONTAINER_RUNNING
    runtime.containers = [
        dead("1", "u1", now - 90),
        dead("2", "u1", now - 60),
        alive,
        dead("3", "u2", now - 5),
    ]
    logs = tmp_path / "d_p_u1" / "main"
    logs.mkdir(parents=True)
    for name in ("1.log", "1.log.20261127-100000.gz", "2.log"):
        (logs / name).touch()
    leftovers = Leftovers(runtime, clock, ContainerPolicy(1, -1, 0), tmp_path, ended=lambda uid: uid == "u2")
    assert await leftovers.collect() == 1
    assert runtime.removed == ["1"]
    assert [path.name for path in logs.iterdir()] == ["2.log"]
    assert await leftovers.collect(ended_pods=True) == 1
    assert runtime.removed == ["1", "3"], "of pods that go on, the last dead container stays"


async def test_the_total_of_dead_containers_and_their_age(tmp_path: Path) -> None:
    clock = HandClock()
    runtime, now = Registry(clock), clock.moment
    runtime.containers = [dead(str(n), f"u{n}", now - 100 + n) for n in range(4)]
    policy = ContainerPolicy(1, 2, 98.5)
    leftovers = Leftovers(runtime, clock, policy, tmp_path, ended=lambda uid: False)
    assert await leftovers.collect() == 0, "two are old enough, and two may stay"
    clock.moment += 10
    await leftovers.collect()
    assert runtime.removed == ["0", "1"]


async def test_logs_of_pods_that_are_gone_go(tmp_path: Path) -> None:
    clock = HandClock()
    for name in ("d_known_u1", "d_there_u2", "d_gone_u3", "not-ours"):
        (tmp_path / name).mkdir()
    runtime = Registry(clock)
    runtime.sandboxes["s"] = pb.PodSandboxStatus(id="s", labels={names.POD_UID: "u2"})
    leftovers = Leftovers(runtime, clock, ContainerPolicy(1, -1, 0), tmp_path, ended=lambda uid: False)
    assert await leftovers.remove_logs({"u1"}) == ["d_gone_u3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d_known_u1", "d_there_u2", "not-ours"]
