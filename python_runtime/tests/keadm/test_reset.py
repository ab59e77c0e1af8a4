"""`keadm reset` against a CRI service on a real unix socket: which sandboxes it takes, and in which order."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler
from grpclib.server import Server, Stream
from tests.keadm.conftest import Keadm

from edgelab.cri.api import runtime_pb2 as pb


class Sandboxes:
    """A runtime that has three sandboxes; the last one is nobody's pod."""

    def __init__(self) -> None:
        self.there = {"s1": "uid-1", "s2": "uid-2", "hand": ""}
        self.calls: list[tuple[str, str]] = []

    def __mapping__(self) -> dict[str, Handler]:
        one = Cardinality.UNARY_UNARY
        prefix = "/runtime.v1.RuntimeService"
        return {
            f"{prefix}/ListPodSandbox": Handler(
                self._list, one, pb.ListPodSandboxRequest, pb.ListPodSandboxResponse
            ),
            f"{prefix}/StopPodSandbox": Handler(
                self._stop, one, pb.StopPodSandboxRequest, pb.StopPodSandboxResponse
            ),
            f"{prefix}/RemovePodSandbox": Handler(
                self._remove, one, pb.RemovePodSandboxRequest, pb.RemovePodSandboxResponse
            ),
        }

    async def _list(self, stream: Stream[Any, Any]) -> None:
        await stream.recv_message()
        items = [
            pb.PodSandbox(
                id=name,
                metadata=pb.PodSandboxMetadata(name=name, namespace="default"),
                labels={"io.kubernetes.pod.uid": uid} if uid else {},
            )
            for name, uid in self.there.items()
        ]
        await stream.send_message(pb.ListPodSandboxResponse(items=items))

    async def _stop(self, stream: Stream[Any, Any]) -> None:
        self.calls.append(("stop", (await stream.recv_message()).pod_sandbox_id))
        await stream.send_message(pb.StopPodSandboxResponse())

    async def _remove(self, stream: Stream[Any, Any]) -> None:
        name = (await stream.recv_message()).pod_sandbox_id
        self.calls.append(("remove", name))
        del self.there[name]
        await stream.send_message(pb.RemovePodSandboxResponse())


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[tuple[Sandboxes, str]]:
    """The service in a thread of its own, as keadm has an event loop of its own."""
    service, loop, ready = Sandboxes(), asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        server = Server([service])
        await server.start(path=str(tmp_path / "r.sock"))
        ready.set()
        await stop.wait()
        server.close()
        await server.wait_closed()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    yield service, f"unix://{tmp_path}/r.sock"
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def test_pods_go_and_other_sandboxes_stay(keadm: Keadm, runtime: tuple[Sandboxes, str]) -> None:
    service, endpoint = runtime
    call = ("reset", "--remote-runtime-endpoint", endpoint)
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
    keadm("reset", "--remote-runtime-endpoint", endpoint, "--database", database)
    assert list(service.there) == ["s1", "hand"]


def test_what_is_no_database_is_refused_before_anything_goes(
    keadm: Keadm, runtime: tuple[Sandboxes, str], tmp_path: Path
) -> None:
    service, endpoint = runtime
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no database " * 100)
    status, answer = keadm("reset", "--remote-runtime-endpoint", endpoint, "--database", wrong)
    assert status == 1
    assert str(wrong) in answer["error"]
    assert service.calls == []


def test_a_runtime_that_is_not_there_is_named(keadm: Keadm, tmp_path: Path) -> None:
    status, answer = keadm("reset", "--remote-runtime-endpoint", f"unix://{tmp_path}/none.sock")
    assert status == 1
    assert answer["error"].startswith("no container runtime")
    assert f"{tmp_path}/none.sock" in answer["error"]
