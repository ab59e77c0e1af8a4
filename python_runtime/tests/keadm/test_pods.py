"""`keadm reset pods` against a CRI service: which sandboxes it takes, and in which order."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.keadm.conftest import Keadm
from tests.keadm.sandboxes import Sandboxes, serve


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[tuple[Sandboxes, str]]:
    with serve(tmp_path / "r.sock") as service:
        yield service, f"unix://{tmp_path}/r.sock"


def test_pods_go_and_other_sandboxes_stay(keadm: Keadm, runtime: tuple[Sandboxes, str]) -> None:
    service, endpoint = runtime
    call = ("reset", "pods", "--remote-runtime-endpoint", endpoint)
    assert keadm(*call, "--check") == (0, {"changed": True, "pods": ["default/s1", "default/s2"]})
    assert service.calls == []
    assert keadm(*call)[1]["pods"] == ["default/s1", "default/s2"]
    assert service.calls == [("stop", "s1"), ("remove", "s1"), ("stop", "s2"), ("remove", "s2")]
    assert keadm(*call) == (0, {"changed": False, "pods": []})
    assert list(service.there) == ["hand"]


def test_beside_a_kubelet_only_pods_of_the_database_go(
    keadm: Keadm, runtime: tuple[Sandboxes, str], tmp_path: Path
) -> None:
    service, endpoint = runtime
    database = tmp_path / "edgecore.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE meta (key text PRIMARY KEY, type text, value text)")
    pod = json.dumps({"metadata": {"uid": "uid-2"}})
    connection.execute("INSERT INTO meta VALUES ('default/pod/s2', 'pod', ?)", (pod,))
    connection.commit()
    connection.close()
    keadm("reset", "pods", "--remote-runtime-endpoint", endpoint, "--database", database)
    assert list(service.there) == ["s1", "hand"]


def test_what_is_no_database_is_refused_before_anything_goes(
    keadm: Keadm, runtime: tuple[Sandboxes, str], tmp_path: Path
) -> None:
    service, endpoint = runtime
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no database " * 100)
    status, answer = keadm("reset", "pods", "--remote-runtime-endpoint", endpoint, "--database", wrong)
    assert status == 1
    assert str(wrong) in answer["error"]
    assert service.calls == []


def test_a_runtime_that_is_not_there_is_named(keadm: Keadm, tmp_path: Path) -> None:
    status, answer = keadm("reset", "pods", "--remote-runtime-endpoint", f"unix://{tmp_path}/none.sock")
    assert status == 1
    assert answer["error"].startswith("no container runtime")
    assert f"{tmp_path}/none.sock" in answer["error"]
