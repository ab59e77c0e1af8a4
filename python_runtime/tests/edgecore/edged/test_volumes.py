"""Who may read and write a pod's volumes, and what they refuse."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.component.edged.meta import FakeMeta
from tests.edgecore.edged.samples import pod

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.edgecore.edged import atomic, builder, volumes
from edgelab.edgecore.edged.atomic import File
from edgelab.edgecore.edged.fields import PodFacts
from edgelab.edgecore.edged.problems import ContainerProblem, VolumeProblem
from edgelab.edgecore.edged.volumes import Volumes

Obj = dict[str, Any]
FACTS = PodFacts(["10.0.0.2"], ["192.168.1.20"], "edge1", {"cpu": "2", "memory": "1Gi"})
TOKEN = {"serviceAccountToken": {"path": "token"}}
ROOT = os.geteuid() == 0
USER, GROUP = (1000, 2000) if ROOT else (os.getuid(), os.getgid())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def made(root: Path, volume: Obj, meta: FakeMeta | None = None, **spec: Any) -> Path:
    described = pod(volumes=[{"name": "v", **volume}], **spec)
    return (await Volumes(root, meta or FakeMeta()).set_up(described, FACTS))["v"]


async def test_token_belongs_to_the_user_that_all_containers_run_as(tmp_path: Path) -> None:
    projected = {"projected": {"sources": [TOKEN]}}
    path = await made(tmp_path, projected, securityContext={"runAsUser": USER})
    token = (path / "token").stat()
    assert (stat.S_IMODE(token.st_mode), token.st_uid) == (0o600, USER)


async def test_group_of_the_pod_reads_what_is_projected(tmp_path: Path) -> None:
    meta = FakeMeta()
    meta.put("secret", "s", {"key": "geheim"})
    items = [{"key": "key", "path": "deep/key"}]
    secret = {"secret": {"secretName": "s", "defaultMode": 0o400, "items": items}}
    path = await made(tmp_path, secret, meta, securityContext={"fsGroup": GROUP})
    file = path / "deep" / "key"
    assert (mode(file), file.stat().st_gid) == (0o440, GROUP)
    for place in (path, path / "..data", path / "deep"):
        assert place.stat().st_gid == GROUP
        assert mode(place) & 0o2050 == 0o2050


async def test_unknown_source_of_a_projected_volume_is_named(tmp_path: Path) -> None:
    projected = {"projected": {"sources": [{"clusterTrustBundle": {"path": "x"}}]}}
    with pytest.raises(VolumeProblem, match="projected source clusterTrustBundle is not offered"):
        await made(tmp_path, projected)


async def test_optional_parts_may_be_missing_and_others_are_named(tmp_path: Path) -> None:
    meta = FakeMeta()
    meta.put("configmap", "c", {"a": "1"})
    items = [{"key": "a", "path": "a", "mode": 0o400}, {"key": "b", "path": "b"}]
    source = {"configMap": {"name": "c", "items": items, "optional": True}}
    path = await made(tmp_path, source, meta)
    assert sorted(p.name for p in path.iterdir() if not p.name.startswith("..")) == ["a"]
    assert mode(path / "a") == 0o400
    source["configMap"]["optional"] = False
    with pytest.raises(VolumeProblem, match="references non-existent key: b"):
        await made(tmp_path, source, meta)
    absent = await made(tmp_path / "other", {"configMap": {"name": "none", "optional": True}}, meta)
    assert absent.is_dir()


async def test_empty_directory_keeps_the_rights_that_a_container_gave_it(tmp_path: Path) -> None:
    path = await made(tmp_path, {"emptyDir": {}})
    assert mode(path) == 0o777
    path.chmod(0o700)
    assert mode(await made(tmp_path, {"emptyDir": {}})) == 0o700


async def test_empty_directory_on_huge_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeProblem, match="medium HugePages is not offered"):
        await made(tmp_path, {"emptyDir": {"medium": "HugePages"}})


@pytest.mark.parametrize(
    ("limit", "memory", "expected"),
    [(None, None, 1 << 30), ("1Mi", None, 1 << 20), (None, "64Mi", 64 << 20), ("1Gi", "64Mi", 64 << 20)],
)
async def test_directory_in_memory_is_no_larger_than_the_pod_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, memory: str | None, expected: int
) -> None:
    commands: list[tuple[str, ...]] = []

    async def run(*command: str) -> None:
        commands.append(command)

    monkeypatch.setattr(volumes, "_run", run)
    source: Obj = {"medium": "Memory", **({"sizeLimit": limit} if limit else {})}
    resources: Obj = {"limits": {"memory": memory}} if memory else {}
    described = pod(
        {"name": "main", "image": "x", "resources": resources}, volumes=[{"name": "v", "emptyDir": source}]
    )
    await Volumes(tmp_path, FakeMeta()).set_up(described, FACTS)
    assert f"size={expected}" in commands[0]


def test_missing_sub_path_gets_the_rights_of_its_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o2775)
    found = volumes.sub_path(volume, "a/b")
    assert found == volume / "a" / "b"
    assert mode(found) == mode(volume / "a") == 0o2775
    (volume / "file").write_text("x")
    assert volumes.sub_path(volume, "file") == volume / "file"


async def config(root: Path, mount: Obj, volume: Obj) -> pb.ContainerConfig:
    container = {"name": "main", "image": "x", "volumeMounts": [{"name": "v", **mount}]}
    described = pod(container, volumes=[{"name": "v", **volume}])
    (root / "v").mkdir(exist_ok=True)
    return await builder.container_config(
        described,
        container,
        restarts=0,
        image=pb.Image(id="x"),
        paths={"v": root / "v"},
        facts=FACTS,
        node=builder.NodeSettings(
            name="edge1", root=root, log_root=root, api_server=("169.254.30.10", "10550")
        ),
        meta=FakeMeta(),
    )


async def test_containers_cannot_write_into_what_is_projected(tmp_path: Path) -> None:
    projected = await config(tmp_path, {"mountPath": "/v"}, {"configMap": {"name": "c"}})
    assert projected.mounts[0].readonly
    plain = await config(tmp_path, {"mountPath": "/v"}, {"emptyDir": {}})
    assert not plain.mounts[0].readonly


async def test_recursive_read_only_is_not_promised(tmp_path: Path) -> None:
    mount = {"mountPath": "/v", "readOnly": True, "recursiveReadOnly": "Enabled"}
    with pytest.raises(ContainerProblem, match="recursive read-only"):
        await config(tmp_path, mount, {"emptyDir": {}})
    mount["recursiveReadOnly"] = "IfPossible"
    assert (await config(tmp_path, mount, {"emptyDir": {}})).mounts[0].readonly


async def test_programs_find_meta_server_where_clients_look_for_the_api(tmp_path: Path) -> None:
    found = await config(tmp_path, {"mountPath": "/v"}, {"emptyDir": {}})
    assert {item.key: item.value for item in found.envs} == {
        "KUBERNETES_SERVICE_HOST": "169.254.30.10",
        "KUBERNETES_SERVICE_PORT": "10550",
    }


def test_file_of_a_user_and_update_of_a_group(tmp_path: Path) -> None:
    files = {"a": File(b"1", 0o600, os.getuid())}
    assert atomic.write(tmp_path, files, group=os.getgid())
    assert mode(tmp_path / "a") == 0o640
    assert not atomic.write(tmp_path, files, group=os.getgid())
