"""Pods from files, their mirrors in the API, and where their status goes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.component.edged.meta import FakeMeta
from tests.edgecore.edged.samples import HandClock

from edgelab.edgecore.edged import names
from edgelab.edgecore.edged.mirrors import Mirrors, is_mirror
from edgelab.edgecore.edged.reports import Reports
from edgelab.edgecore.edged.staticpods import StaticPods, parse
from edgelab.edgecore.interfaces import Offline, RemoteError

Obj = dict[str, Any]


def manifest(name: str = "proxy", image: str = "web:1") -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }


class Place:
    """A directory of manifests, and what was told of it."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, HandClock()
        self.told: list[str] = []
        self.static = StaticPods(
            path,
            "Edge1",
            self.clock,
            period=20,
            changed=lambda pod: self.told.append(f"+{pod['metadata']['name']}"),
            removed=lambda pod: self.told.append(f"-{pod['metadata']['name']}"),
        )

    def write(self, name: str, content: Obj | str) -> None:
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (self.path / name).write_text(text)

    def look(self) -> list[str]:
        self.told.clear()
        self.static.look()
        return list(self.told)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_file_becomes_a_pod_of_this_node() -> None:
    pod = parse(json.dumps(manifest()).encode(), "/etc/m/proxy.json", "Edge1")
    metadata = pod["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("proxy-edge1", "default")
    assert metadata["annotations"] == {
        "kubernetes.io/config.hash": metadata["uid"],
        "kubernetes.io/config.source": "file",
    }
    assert len(metadata["uid"]) == 32
    assert pod["spec"]["nodeName"] == "Edge1"
    assert pod["spec"]["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]
    again = parse(yaml.safe_dump(manifest()).encode(), "/etc/m/proxy.json", "Edge1")
    assert again["metadata"]["uid"] == metadata["uid"], "the same content, whatever its form"
    other = parse(yaml.safe_dump(manifest(image="web:2")).encode(), "/etc/m/proxy.json", "Edge1")
    assert other["metadata"]["uid"] != metadata["uid"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a: [", "neither YAML nor JSON"),
        ("- a", "expected one object of apiVersion v1 and kind Pod"),
        ("apiVersion: v1\nkind: Service", "expected one object"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: Bad_Name}\nspec: {}", "metadata.name"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}",
            "spec.containers: at least",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: b}]}",
            r"spec.containers\[0\].image",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_named(content: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse(content.encode(), "f", "edge1")


def test_files_are_followed(place: Place) -> None:
    assert place.look() == []
    place.write("a.yaml", manifest("a"))
    place.write(".hidden.yaml", manifest("hidden"))
    (place.path / "directory").mkdir()
    assert place.look() == ["+a-edge1"]
    assert place.look() == []
    place.write("b.json", json.dumps(manifest("b")))
    assert place.look() == ["+b-edge1"]
    place.write("a.yaml", manifest("a", image="other:2"))
    assert place.look() == ["-a-edge1", "+a-edge1"]
    (place.path / "b.json").unlink()
    assert place.look() == ["-b-edge1"]
    (place.path / "a.yaml").rename(place.path / ".a.yaml")
    assert place.look() == ["-a-edge1"]


def test_a_broken_file_leaves_its_pod_and_is_told_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.write("a.yaml", manifest("a"))
    place.look()
    place.write("a.yaml", "kind: [")
    assert place.look() == []
    place.clock.moment += 21
    assert place.look() == []
    assert caplog.text.count("gives no static pod") == 1
    place.write("a.yaml", manifest("a"))
    assert place.look() == []
    assert names.key(place.static.pods[0]) == "default/a-edge1"


def test_two_files_of_one_name_are_told_and_the_first_counts(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.write("a.yaml", manifest("a"))
    place.write("b.yaml", manifest("a", image="other:1"))
    assert place.look() == ["+a-edge1"]
    assert place.static.pods[0]["spec"]["containers"][0]["image"] == "web:1"
    assert "name the same pod" in caplog.text


def test_one_file_in_place_of_a_directory_and_none_at_all(tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump(manifest()))
    assert Place(file).look() == ["+proxy-edge1"]
    assert Place(tmp_path / "missing").look() == []


class Wall:
    """Mirrors over a cloud in memory."""

    def __init__(self) -> None:
        self.meta, self.clock = FakeMeta(), HandClock()
        self.reports = Reports(self.meta, self.clock)
        self.static = [parse(yaml.safe_dump(manifest()).encode(), "f", "edge1")]
        self.mirrors = Mirrors(self.meta, self.clock, "edge1", self.reports, lambda: self.static)

    @property
    def mirror(self) -> Obj:
        return self.meta.mirrors["default/proxy-edge1"]


async def test_a_mirror_shows_the_pod_and_belongs_to_the_node() -> None:
    wall = Wall()
    wall.meta.nodes["edge1"] = {"metadata": {"name": "edge1", "uid": "n-1"}}
    await wall.mirrors.settle()
    mirror, pod = wall.mirror, wall.static[0]
    assert is_mirror(mirror)
    assert not is_mirror(pod)
    assert mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] == pod["metadata"]["uid"]
    assert mirror["metadata"]["labels"] == {"app": "proxy"}
    [owner] = mirror["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Node", "n-1", True)
    await wall.mirrors.settle()
    assert wall.meta.deleted == []


async def test_a_mirror_that_goes_or_is_outdated_is_made_again_and_one_too_many_is_removed() -> None:
    wall = Wall()
    await wall.mirrors.settle()
    first = copy.deepcopy(wall.mirror)
    doomed = copy.deepcopy(first)
    doomed["metadata"]["deletionTimestamp"] = "2026-11-21T10:00:00Z"
    wall.mirrors.seen(doomed)
    await wall.mirrors.settle()
    second = copy.deepcopy(wall.mirror)
    assert wall.meta.deleted == [names.uid(first)]
    assert names.uid(second) != names.uid(first)
    wall.mirrors.seen(doomed)  # late news
    await wall.mirrors.settle()
    assert wall.meta.deleted == [names.uid(first)]
    assert wall.mirrors.gone("default", "proxy-edge1", names.uid(second))
    assert not wall.mirrors.gone("default", "proxy-edge1", "other")
    del wall.meta.mirrors["default/proxy-edge1"]
    await wall.mirrors.settle()
    third = names.uid(wall.mirror)
    wall.static[:] = [parse(yaml.safe_dump(manifest(image="web:2")).encode(), "f", "edge1")]
    await wall.mirrors.settle()
    assert third in wall.meta.deleted
    wall.static.clear()
    await wall.mirrors.settle()
    assert wall.meta.mirrors == {}


async def test_a_mirror_that_the_cloud_has_already_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    wall = Wall()
    await wall.mirrors.settle()
    known = copy.deepcopy(wall.mirror)
    after = Mirrors(wall.meta, wall.clock, "edge1", wall.reports, lambda: wall.static)
    await after.settle()
    after.seen(known)
    await after.settle()
    assert wall.meta.deleted == []
    assert caplog.text == ""


async def test_a_refusal_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall = Wall()

    async def refuse(_: Obj) -> Obj:
        raise RemoteError('namespaces "default" is closed', reason="Forbidden", code=403)

    monkeypatch.setattr(wall.meta, "create_pod", refuse)
    await wall.mirrors.settle()
    await wall.mirrors.settle()
    assert caplog.text.count("is closed") == 1


async def test_the_status_goes_to_the_mirror_and_waits_until_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall = Wall()
    wall.meta.online = False
    wall.reports.publish(wall.static[0], {"phase": "Running"})
    assert not wall.reports._knows(
        names.uid(wall.static[0]), wall.reports._reports[names.uid(wall.static[0])]
    )
    with pytest.raises(Offline):
        await wall.mirrors.settle()
    wall.meta.online = True
    await wall.mirrors.settle()
    sent: list[Obj] = []

    async def patch(namespace: str, name: str, body: Obj) -> Obj:
        sent.append(body)
        return {}

    monkeypatch.setattr(wall.meta, "patch_pod_status", patch)
    uid = names.uid(wall.static[0])
    await wall.reports._send(uid, wall.reports._reports[uid])
    assert sent[0]["metadata"]["uid"] == names.uid(wall.mirror)
