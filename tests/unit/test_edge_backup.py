"""edge_backup on real files and SQLite databases: what it takes and refuses, all or nothing."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import tarfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.module_utils import backup_archive, backup_restore
from ansible_collections.edgelab.kubeedge.plugins.modules import edge_backup

from tests.unit.module_harness import FakeKeadm, run


class Host:
    """Files of a daemon below a directory, and the module's options for them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "etc" / "edgecore.yaml"
        self.key = root / "etc" / "certs" / "server.key"
        self.database = root / "lib" / "edgecore.db"
        self.authority = root / "etc" / "ca.crt"
        for path in (self.config, self.key, self.database):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text("a: 1\n")
        self.key.write_text("KEY")
        self.key.chmod(0o600)
        self.authority.write_text("CA")
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE meta (key text PRIMARY KEY, value text)")
            connection.execute("INSERT INTO meta VALUES ('a', '1')")
            connection.commit()

    def module(self, state: str = "present", **more: Any) -> dict[str, Any]:
        component = {
            "name": "edgecore",
            "files": [str(self.config), str(self.key.parent), str(self.root / "none")],
            "databases": [str(self.database)],
        }
        options: dict[str, Any] = {
            "state": state,
            "node": "edge1",
            "directory": str(self.root / "backups"),
            "cluster_ca": [str(self.authority)],
            "components": [component],
            "version": "1.0.0+aaa",
        }
        return run(edge_backup, **{**options, **more})

    def write(self, statement: str) -> None:
        with closing(sqlite3.connect(self.database)) as connection:
            connection.execute(statement)
            connection.commit()

    def rows(self) -> list[tuple[str, str]]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute("SELECT * FROM meta ORDER BY key").fetchall()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def stamps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a minute at each look."""
    now = iter(range(1_800_000_000, 1_900_000_000, 60))
    real = time.gmtime
    monkeypatch.setattr(edge_backup.time, "gmtime", lambda *_: real(next(now)))


def spoil(archive: str, member: str) -> None:
    """Change one byte of a member, leaving the manifest as it is."""
    with tarfile.open(archive) as tar:
        held = [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    with tarfile.open(archive, "w:gz") as tar:
        for info, data in held:
            changed = b"X" + data[1:] if info.name == member else data
            backup_archive.Writer._put(backup_archive.Writer("", {}), tar, info.name, changed)


def test_an_archive_is_for_root_and_its_manifest_names_every_file(host: Host) -> None:
    result = host.module()
    archive = Path(result["archive"])
    assert result["changed"] is True
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert stat.S_IMODE(archive.parent.parent.stat().st_mode) == 0o700
    assert result["missing"] == [str(host.root / "none")]
    manifest = backup_archive.read_manifest(str(archive))
    assert (manifest["node"], manifest["version"]) == ("edge1", "1.0.0+aaa")
    entries = {entry["path"]: entry for entry in manifest["components"]["edgecore"]["entries"]}
    assert entries[str(host.key)]["sha256"] == backup_archive.sha256(str(host.key))
    assert entries[str(host.database)]["kind"] == "database"
    assert [path.name for path in archive.parent.parent.iterdir()] == [archive.parent.name]


def test_a_database_in_use_is_copied_with_what_is_committed(host: Host) -> None:
    with closing(sqlite3.connect(host.database)) as connection:
        connection.execute("INSERT INTO meta VALUES ('b', '2')")
        connection.commit()
        connection.execute("INSERT INTO meta VALUES ('c', 'not committed')")
        assert not host.module()["failed"]
        connection.rollback()
    host.write("DELETE FROM meta")
    assert not host.module("restored")["failed"]
    assert host.rows() == [("a", "1"), ("b", "2")]


def test_everything_comes_back_with_its_mode(host: Host) -> None:
    host.module()
    host.config.write_text("a: 2\n")
    host.key.unlink()
    host.key.parent.rmdir()
    host.write("UPDATE meta SET value = '9'")
    preview = host.module("restored", _ansible_check_mode=True)
    assert preview["changed"] is True
    assert host.config.read_text() == "a: 2\n"
    result = host.module("restored", _ansible_diff=True)
    assert result["restored"] == preview["restored"]
    assert "KEY" not in json.dumps(result)
    assert (host.config.read_text(), host.key.read_text()) == ("a: 1\n", "KEY")
    assert stat.S_IMODE(host.key.stat().st_mode) == 0o600
    assert host.rows() == [("a", "1")]
    assert host.module("restored")["changed"] is False
    assert not [path for path in host.root.rglob("*") if ".edgelab-" in path.name]


def test_on_the_way_back_a_database_stays_while_its_tables_have_the_same_form(host: Host) -> None:
    host.module()
    host.write("INSERT INTO meta VALUES ('newer', '1')")
    assert host.module("restored", restore_databases="schema")["changed"] is False
    host.write("ALTER TABLE meta ADD COLUMN more text")
    result = host.module("restored", restore_databases="schema")
    assert result["restored"] == [str(host.database)]
    assert host.rows() == [("a", "1")]


def test_a_database_that_a_daemon_has_open_is_not_replaced(host: Host) -> None:
    host.module()
    host.write("DELETE FROM meta")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with open(host.database, "rb"):
            os.write(writer, b"x")
            time.sleep(60)
        os._exit(0)
    os.read(reader, 1)
    try:
        result = host.module("restored")
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert result["failed"]
    assert f"process {child}" in result["msg"]
    assert host.rows() == []


def test_a_damaged_archive_changes_nothing(host: Host) -> None:
    archive = host.module()["archive"]
    manifest = backup_archive.read_manifest(archive)
    key = next(e for e in manifest["components"]["edgecore"]["entries"] if e["path"] == str(host.key))
    spoil(archive, key["member"])
    host.config.write_text("a: 2\n")
    for state in ("verified", "restored"):
        result = host.module(state)
        assert result["failed"]
        assert str(host.key) in result["msg"]
    assert host.config.read_text() == "a: 2\n"


def test_a_truncated_archive_is_named(host: Host) -> None:
    archive = host.module()["archive"]
    data = Path(archive).read_bytes()
    Path(archive).write_bytes(data[: len(data) // 2])
    result = host.module("verified")
    assert result["failed"]
    assert archive in result["msg"]


@pytest.mark.parametrize(("change", "words"), [("node", "edge1"), ("cluster", "another cluster")])
def test_archives_of_others_are_refused_unless_forced(host: Host, change: str, words: str) -> None:
    archive = host.module()["archive"]
    options: dict[str, Any] = {"archive": archive}
    if change == "node":
        options["node"] = "edge2"
    else:
        host.authority.write_text("CA of another cluster")
    result = host.module("restored", **options)
    assert result["failed"]
    assert words in result["msg"]
    assert "force" in result["msg"]
    assert not host.module("restored", force=True, **options)["failed"]


def test_the_newest_archive_of_a_version_is_chosen(host: Host, stamps: None) -> None:
    first = host.module()["archive"]
    host.module(version="1.0.0+bbb")
    assert host.module("verified")["archive"] == first
    missing = host.module("verified", version="1.0.0+ccc")
    assert missing["failed"]
    assert "1.0.0+ccc" in missing["msg"]


def test_only_so_many_archives_stay(host: Host, stamps: None) -> None:
    archives = [host.module(keep=2)["archive"] for _ in range(3)]
    assert [Path(path).exists() for path in archives] == [False, True, True]


def test_a_young_archive_is_good_enough(host: Host) -> None:
    host.module()
    assert host.module(max_age=3600)["changed"] is False
    assert host.module(max_age=3600, version="1.0.0+bbb", _ansible_check_mode=True)["changed"] is True


def test_secrets_go_through_keadm_and_never_as_arguments(host: Host, tmp_path: Path) -> None:
    keadm = FakeKeadm(tmp_path)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "casecret"},
        "data": {"k": "c2VjcmV0"},
    }
    done = [{"kind": "Secret", "name": "casecret", "action": "created"}]
    keadm.answer(export={"objects": [secret]}, apply={"changed": True, "objects": done})
    component = {"name": "cloudcore", "secrets_of": "kubeedge"}
    options: dict[str, Any] = {"components": [component], "keadm": str(keadm.path)}
    assert not host.module(**options)["failed"]
    result = host.module("restored", **options)
    assert result["restored"] == ["Secret/casecret"]
    words, stdin = keadm.calls[-1]
    assert "c2VjcmV0" not in " ".join(words) + json.dumps(result)
    assert json.loads(stdin)["items"] == [secret]


def test_a_keadm_without_export_leaves_a_note(host: Host, tmp_path: Path) -> None:
    keadm = FakeKeadm(tmp_path)
    keadm.answer(export={"error": "No such command 'export'."})
    component = {"name": "cloudcore", "secrets_of": "kubeedge"}
    result = host.module(components=[component], keadm=str(keadm.path))
    assert result["missing"] == ["Secrets of kubeedge: this version of keadm has no export"]
    keadm.answer(export={"error": "the API server cannot be reached"})
    assert host.module(components=[component], keadm=str(keadm.path))["failed"]


def test_without_room_nothing_is_written(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    full = type("Usage", (), {"free": 1 << 20})()
    monkeypatch.setattr(backup_archive.shutil, "disk_usage", lambda _path: full)
    result = host.module()
    assert result["failed"]
    assert "MiB" in result["msg"]
    assert not list((host.root / "backups").iterdir())


def test_a_restore_that_fails_half_way_is_taken_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.module()
    host.config.write_text("a: 2\n")
    host.key.write_text("OTHER")
    real = backup_restore.os.replace

    def replace(source: str, target: str) -> None:
        if target == str(host.key) and source.endswith(backup_restore.FRESH):
            raise OSError(28, "No space left on device", target)
        real(source, target)

    monkeypatch.setattr(backup_restore.os, "replace", replace)
    assert host.module("restored")["failed"]
    assert (host.config.read_text(), host.key.read_text()) == ("a: 2\n", "OTHER")
    assert not [path for path in host.root.rglob("*") if ".edgelab-" in path.name]


def test_a_pattern_stands_for_what_is_there(tmp_path: Path) -> None:
    for name in ("edgelab-mapper-b.service", "edgelab-mapper-a.service", "other.service"):
        (tmp_path / name).touch()
    mappers, none = str(tmp_path / "edgelab-mapper-*.service"), str(tmp_path / "none*")
    found, missing = backup_archive.found_files([mappers, none, str(tmp_path / "gone")])
    assert [Path(path).name for path in found] == ["edgelab-mapper-a.service", "edgelab-mapper-b.service"]
    assert missing == [str(tmp_path / "gone")]
