"""Backup and restore of a site: while it runs, whole or not at all, and without mixing two histories."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import shutil
import sqlite3
import sys
import tarfile
from pathlib import Path

import pytest
from tests.edgesite.apiserver.running import Client, running
from tests.edgesite.store.stores import encoder, key, opened, state

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.__main__ import main
from edgelab.edgesite.operation import archive, datadir
from edgelab.edgesite.operation.copies import BUMP
from edgelab.edgesite.operation.restore import restore
from edgelab.edgesite.store import Compacted

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


async def site(directory: Path) -> Path:
    """A data directory with keys and two config maps."""
    async with opened(directory) as store:
        await store.put(key("a"), encoder("one"))
        await store.put(key("b"), encoder("two"))
    (directory / "tls").mkdir(mode=0o700)
    (directory / "tls/ca.crt").write_text("certificate")
    (directory / "tls/ca.key").write_text("secret")
    return directory


async def names(client: Client) -> set[str]:
    _, listed = await client.call("GET", CONFIGMAPS)
    return {item["metadata"]["name"] for item in listed["items"]}


async def test_a_site_is_backed_up_while_it_writes_and_restored_with_its_keys(tmp_path: Path) -> None:
    acknowledged: list[str] = []

    async def write(client: Client) -> None:
        for number in range(400):
            status, _ = await client.call("POST", CONFIGMAPS, {"metadata": {"name": f"n{number}"}})
            assert status == 201
            acknowledged.append(f"n{number}")

    first, second = tmp_path / "first", tmp_path / "second"
    async with running(first) as client:
        writing = asyncio.create_task(write(client), name="write")
        while len(acknowledged) < 50:
            await asyncio.sleep(0.01)
        before = list(acknowledged)
        path, manifest = await asyncio.to_thread(archive.write, first / "data", tmp_path, SYSTEM)
        assert not writing.done()
        await writing
        _, last = await client.call("GET", CONFIGMAPS)
        token = (await client.call("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {}))[1]
        ca = client.site.keys.ca_pem
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir() if "backup" in entry.name] == []
    done = restore(path, second / "data")
    assert done.revision == manifest.revision + BUMP
    async with running(second) as client:
        assert client.site.keys.ca_pem == ca
        assert set(before) <= await names(client) < set(acknowledged) | {"kube-root-ca.crt"}
        old = last["metadata"]["resourceVersion"]
        status, answer = await client.call(
            "GET", f"{CONFIGMAPS}?watch=1&resourceVersion={old}&timeoutSeconds=3"
        )
        assert "too old resource version" in str(answer)
        _, listed = await client.call("GET", CONFIGMAPS)
        assert int(listed["metadata"]["resourceVersion"]) > BUMP
        status, me = await client.call(
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
            token=token["status"]["token"],
        )
        assert (status, me["status"]["userInfo"]["username"]) == (
            201,
            "system:serviceaccount:default:default",
        )


async def test_versions_before_the_restore_are_gone_and_writes_go_on_after_it(tmp_path: Path) -> None:
    path, manifest = archive.write(await site(tmp_path / "one"), tmp_path, SYSTEM)
    restore(path, tmp_path / "two")
    async with opened(tmp_path / "two") as store:
        assert state(store) == {"a": "one", "b": "two"}
        assert store.revision == manifest.revision + BUMP
        with pytest.raises(Compacted):
            await store.list_at("configmaps", manifest.revision)
        with pytest.raises(Compacted), store.watch_now("configmaps") as watch:
            await store.replay(watch, manifest.revision + 500, store.revision)
        assert (await store.put(key("c"), encoder("three"))).revision == manifest.revision + BUMP + 1


async def test_a_restore_refuses_what_is_there_and_puts_it_aside_when_forced(tmp_path: Path) -> None:
    path, _ = archive.write(await site(tmp_path / "one"), tmp_path, SYSTEM)
    async with opened(tmp_path / "two") as store:
        await store.put(key("other"), encoder("kept"))
    with pytest.raises(Fatal, match=r"holds a site already \(state.db\); --force replaces it"):
        restore(path, tmp_path / "two")
    done = restore(path, tmp_path / "two", force=True)
    async with opened(tmp_path / "two") as store:
        assert state(store) == {"a": "one", "b": "two"}
    assert (tmp_path / "two/tls/ca.key").stat().st_mode & 0o777 == 0o600
    assert done.replaced == tmp_path / "two/replaced"
    async with opened(done.replaced) as store:
        assert state(store) == {"other": "kept"}


async def test_a_restore_refuses_while_a_site_runs_there(tmp_path: Path) -> None:
    path, _ = archive.write(await site(tmp_path / "one"), tmp_path, SYSTEM)
    with (
        datadir.locked(tmp_path / "two"),
        pytest.raises(Fatal, match="in use by another edgesite; stop that"),
    ):
        restore(path, tmp_path / "two", force=True)


async def test_keys_can_be_left_out_and_those_of_the_directory_stay_then(tmp_path: Path) -> None:
    path, manifest = archive.write(await site(tmp_path / "one"), tmp_path / "file", SYSTEM, keys=False)
    assert path == tmp_path / "file"
    assert set(manifest.files) == {"state.db"}
    await site(tmp_path / "two")
    (tmp_path / "two/tls/ca.key").write_text("its own")
    restore(path, tmp_path / "two", force=True)
    assert (tmp_path / "two/tls/ca.key").read_text() == "its own"


def repacked(path: Path, target: Path, change: str) -> Path:
    """The archive with a byte of one member changed, a member more, or one less."""
    with tarfile.open(path) as source, tarfile.open(target, "w:gz") as packed:
        for member in source:
            content = source.extractfile(member).read()  # type: ignore[union-attr] # files only
            if change == member.name:
                content = content[:-1] + bytes([content[-1] ^ 1])
            if change != f"without {member.name}":
                member.size = len(content)
                packed.addfile(member, io.BytesIO(content))
        if change == "../evil":
            packed.addfile(tarfile.TarInfo("../evil"), io.BytesIO())
    return target


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("state.db", "the hash of state.db is wrong"),
        ("tls/ca.key", "the hash of tls/ca.key is wrong"),
        ("without tls/ca.key", "tls/ca.key is missing"),
        ("without manifest.json", r"does not begin with manifest\.json"),
        ("../evil", "which does not belong there"),
    ],
)
async def test_a_damaged_backup_touches_nothing(tmp_path: Path, change: str, told: str) -> None:
    path, _ = archive.write(await site(tmp_path / "one"), tmp_path, SYSTEM)
    await site(tmp_path / "two")
    before = (tmp_path / "two/state.db").read_bytes()
    with pytest.raises(Fatal, match=told):
        restore(repacked(path, tmp_path / "changed.tar.gz", change), tmp_path / "two", force=True)
    assert (tmp_path / "two/state.db").read_bytes() == before


async def test_a_torn_backup_is_named(tmp_path: Path) -> None:
    path, _ = archive.write(await site(tmp_path / "one"), tmp_path, SYSTEM)
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(Fatal, match=r"torn\.tar\.gz is no whole backup of a site"):
        restore(torn, tmp_path / "two")
    assert datadir.occupied(tmp_path / "two") == []
    torn.write_bytes(gzip.compress(b"nothing"))
    with pytest.raises(Fatal, match=r"torn\.tar\.gz is no"):
        restore(torn, tmp_path / "two")


async def test_a_damaged_site_is_not_backed_up_as_if_it_were_sound(tmp_path: Path) -> None:
    one = await site(tmp_path / "one")
    connection = sqlite3.connect(one / "state.db")
    connection.execute("UPDATE log SET value = replace(value, 'two', 'TWO')")
    connection.commit()
    connection.close()
    with pytest.raises(Fatal, match="is damaged"):
        archive.write(one, tmp_path / "file", SYSTEM)
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("steps", range(1, 6))
async def test_a_restore_that_is_interrupted_is_finished_before_the_site_starts(
    tmp_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = archive.write(await site(tmp_path / "one"), tmp_path, SYSTEM)
    two = await site(tmp_path / "two")
    (two / "tls/ca.key").write_text("old")
    moves = 0
    rename = Path.rename

    def until_the_power_fails(self: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves == steps:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", until_the_power_fails)
        if steps <= 4:  # database and keys, each aside and in
            with pytest.raises(KeyboardInterrupt):
                restore(path, two, force=True)
        else:
            restore(path, two, force=True)
    datadir.finish(two)
    assert (two / "tls/ca.key").read_text() == "secret"
    assert (two / "replaced/tls/ca.key").read_text() == "old"
    assert not (two / ".restore").exists()
    async with opened(two) as store:
        assert store.revision > BUMP


async def test_a_restore_that_was_not_ready_leaves_the_old_state(tmp_path: Path) -> None:
    two = await site(tmp_path / "two")
    shutil.copy(two / "state.db", datadir.stage(two) / "state.db")
    (two / ".snapshot-x").mkdir()
    assert datadir.finish(two) is None
    assert not (two / ".snapshot-x").exists(), "what a killed process left there goes, too"
    async with opened(two) as store:
        assert state(store) == {"a": "one", "b": "two"}


async def test_the_commands_answer_people_and_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = str(await site(tmp_path / "one")), str(tmp_path / "two")
    assert main(["backup", str(tmp_path), "--data-dir", one, "--output", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["changed"], made["keys"], Path(made["file"]).parent) == (True, True, tmp_path)
    assert main(["restore", made["file"], "--check"]) == 0
    assert "is sound" in capsys.readouterr().out
    assert main(["restore", made["file"], "--data-dir", two]) == 0
    assert f"{two} is as of" in capsys.readouterr().out
    assert main(["restore", made["file"], "--data-dir", two, "--output", "json"]) == 1
    said = capsys.readouterr()
    assert "--force replaces it" in json.loads(said.out)["error"]
    assert "edgesite: " in said.err
    assert main(["backup", str(tmp_path / "x"), "--data-dir", str(tmp_path / "none")]) == 1
    assert "name the site's data directory with --data-dir" in capsys.readouterr().err


async def test_a_backup_is_taken_by_a_process_of_its_own(tmp_path: Path) -> None:
    async with running(tmp_path / "site") as client:
        await client.call("POST", CONFIGMAPS, {"metadata": {"name": "here"}})
        words = ("backup", str(tmp_path / "b.tgz"), "--data-dir", str(tmp_path / "site/data"))
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "edgelab.edgesite", *words)
        assert await process.wait() == 0
        status, _ = await client.call("POST", CONFIGMAPS, {"metadata": {"name": "after"}})
        assert status == 201
    restore(tmp_path / "b.tgz", tmp_path / "again/data")
    async with running(tmp_path / "again") as client:
        assert "here" in await names(client)
        assert "after" not in await names(client)


async def test_a_state_that_can_be_used_is_left_alone_when_asked_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a roll back: the backup is older, and only needed when the newer version changed the layout."""
    path, _ = archive.write(await site(tmp_path / "one"), tmp_path, SYSTEM)
    two = await site(tmp_path / "two")
    async with opened(two) as store:
        await store.put(key("since"), encoder("the backup"))
    call = ["restore", str(path), "--data-dir", str(two), "--force", "--unless-usable", "--output", "json"]
    assert main(call) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False
    async with opened(two) as store:
        assert state(store)["since"] == "the backup"
    newer = sqlite3.connect(two / "state.db")
    newer.execute("PRAGMA user_version=99")
    newer.close()
    assert main(call) == 0
    assert json.loads(capsys.readouterr().out)["changed"] is True
    async with opened(two) as store:
        assert state(store) == {"a": "one", "b": "two"}
