"""Logs, exec, attach and portForward of pods that run in containerd."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.component.edged.conftest import Bench, busybox, make_pod
from tests.component.edged.spdy_client import PORTS, connect, request

from edgelab.edgecore.edged.streams.routes import Streams
from edgelab.edgecore.kubelet import Refused, Request

Obj = dict[str, Any]

COUNTING = (
    'i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo "line $i"; done; sleep 0.5; echo wrong >&2; sleep 600'
)


async def started(bench: Bench, pod: Obj) -> tuple[Streams, str]:
    edged = await bench.start()
    bench.apply(pod)
    await bench.phase(pod, "Running")
    return edged.streams(), f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def asked(path: str, query: str = "") -> Request:
    return Request("GET", path, query, {})


async def log(streams: Streams, where: str, query: str = "") -> str:
    answer = await streams.get(asked(f"/containerLogs/{where}/main", query))
    return b"".join([chunk async for chunk in answer.body]).decode()


async def test_a_log_is_what_the_container_wrote_cut_as_it_was_asked_for(bench: Bench) -> None:
    streams, where = await started(bench, make_pod("log", busybox("sh", "-c", COUNTING)))
    lines = [f"line {i}" for i in range(1, 21)]
    async with asyncio.timeout(20):
        while "wrong" not in (text := await log(streams, where)):
            await asyncio.sleep(0.05)
    assert text.splitlines() == [*lines, "wrong"]
    assert (await log(streams, where, "tailLines=3")).splitlines() == ["line 19", "line 20", "wrong"]
    assert await log(streams, where, "tailLines=0") == ""
    assert await log(streams, where, "limitBytes=6") == "line 1"
    stamped = (await log(streams, where, "timestamps=true&limitBytes=1000")).splitlines()[0]
    time, _, first = stamped.partition(" ")
    assert first == "line 1"
    assert await log(streams, where, "sinceTime=2999-01-01T00:00:00Z") == ""
    assert (await log(streams, where, f"sinceTime={time}")).startswith("line 1\n")
    assert (await log(streams, where, "sinceSeconds=3600")).startswith("line 1\n")


async def test_a_log_is_followed_through_rotation_to_the_end_of_its_container(bench: Bench) -> None:
    script = 'trap "echo bye; exit 0" TERM; i=0; while true; do i=$((i+1)); echo "line $i"; sleep 0.05; done'
    bench.settings.tailoredKubeletConfig.containerLogMaxSize = "3Ki"
    bench.settings.tailoredKubeletConfig.containerLogMonitorInterval = "1s"
    pod = make_pod("follow", busybox("sh", "-c", script), restartPolicy="Never")
    streams, where = await started(bench, pod)
    answer = await streams.get(asked(f"/containerLogs/{where}/main", "follow=true"))
    got = bytearray()

    async def read() -> None:
        async for chunk in answer.body:
            got.extend(chunk)

    reading = asyncio.create_task(read())
    await bench.until(lambda: list((bench.base / "logs").glob("*/main/0.log.*")), "a rotated log")
    size = len(got)
    await bench.until(lambda: len(got) > size + 500, "more of the log after its rotation")
    bench.remove(pod)
    await asyncio.wait_for(reading, 30)
    lines = got.decode().splitlines()
    assert lines[-1] == "bye"
    numbers = [int(line.split()[1]) for line in lines[:-1]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 60


async def test_the_log_of_the_container_before_is_there_and_what_is_wrong_is_said(bench: Bench) -> None:
    once = "if [ -e /data/again ]; then echo second; sleep 600; fi; touch /data/again; echo first; exit 1"
    mount = [{"name": "data", "mountPath": "/data"}]
    pod = make_pod(
        "again", busybox("sh", "-c", once, volumeMounts=mount), volumes=[{"name": "data", "emptyDir": {}}]
    )
    streams, where = await started(bench, pod)

    def restarted() -> bool:
        found = bench.status(pod).get("containerStatuses") or [{}]
        return bool(found[0].get("restartCount")) and "running" in found[0].get("state", {})

    await bench.until(restarted, "the second container")
    async with asyncio.timeout(20):
        while await log(streams, where) != "second\n":
            await asyncio.sleep(0.05)
    assert await log(streams, where, "previous=true") == "first\n"
    for path, query, status, text in (
        (f"{where}/other", "", 404, 'container "other" not found in pod'),
        ("default/nobody/main", "", 404, "pod does not exist"),
        (f"{where}/main", "tailLines=-1", 422, "tailLines: must be 0 or more"),
        (f"{where}/main", "sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422, "at most one"),
    ):
        with pytest.raises(Refused, match=text) as refused:
            await streams.get(asked(f"/containerLogs/{path}", query))
        assert refused.value.status == status


async def test_a_command_gets_its_input_and_gives_its_outputs_and_its_exit_code(bench: Bench) -> None:
    streams, where = await started(bench, make_pod("exec", busybox("sleep", "600")))
    script = "command=sh&command=-c&command=cat%3Becho%20oops%20%3E%262%3Bexit%203"
    client = await connect(streams, request(f"/exec/{where}/main", f"input=1&output=1&error=1&{script}"))
    client.open_all("error", "stdin", "stdout", "stderr")
    client.send("stdin", bytes(range(256)), final=True)
    found = await client.outputs()
    client.close()
    assert found["stdout"] == bytes(range(256))
    assert found["stderr"] == b"oops\n"
    status = json.loads(found["error"])
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]


async def test_one_joins_what_runs_and_reaches_its_ports(bench: Bench) -> None:
    script = "while read line; do echo got $line; done"
    pod = make_pod("attach", busybox("sh", "-c", script, stdin=True))
    web = "httpd -p 8080 -h /etc; sleep 600"
    pod["spec"]["containers"].append({"name": "web", **busybox("sh", "-c", web)})
    streams, where = await started(bench, pod)
    client = await connect(streams, request(f"/attach/{where}/main", "input=1&output=1"))
    client.open_all("error", "stdin", "stdout")
    client.send("stdin", b"hello\n")
    async for name, data, _ in client.frames():
        if name == "stdout":
            assert data == b"got hello\n"
            break
    client.close()
    async with asyncio.timeout(30):
        while not (answer := await fetched(streams, where)):  # a process that runs need not listen yet
            await asyncio.sleep(0.1)
    assert answer.endswith(pod["metadata"]["name"].encode() + b"\n")


async def fetched(streams: Streams, where: str) -> bytes:
    """What the pod's port 8080 answers; nothing while nobody listens there."""
    client = await connect(streams, request(f"/portForward/{where}", headers=PORTS))
    for kind in ("error", "data"):
        client.open(kind, {"streamtype": kind, "port": "8080", "requestid": "0"})
    client.send("error", b"", final=True)
    client.send("data", b"GET /hostname HTTP/1.0\r\n\r\n")
    found = await client.outputs("data")
    client.close()
    return found["data"]


async def test_what_cannot_be_joined_is_refused(bench: Bench) -> None:
    streams, where = await started(bench, make_pod("refused", busybox("sleep", "600")))
    for path, query, status, text in (
        (f"/exec/{where}/main", "command=ls", 400, "at least 1 of stdin, stdout, stderr"),
        (f"/exec/{where}/main", "output=1", 400, "specify a command"),
        (f"/exec/{where}/other", "output=1&command=ls", 404, "container not found"),
        (f"/exec/{where}/wrong-uid/main", "output=1&command=ls", 404, "pod does not exist"),
        ("/exec/default/nobody/main", "output=1&command=ls", 404, "pod does not exist"),
        (f"/run/{where}/main", "", 404, "page not found"),
    ):
        with pytest.raises(Refused, match=text) as refused:
            await streams.connect(request(path, query))
        assert refused.value.status == status
    bad = request(f"/exec/{where}/main", "output=1&command=ls", {"X-Bad": ["1\r\nHost: other"]})
    with pytest.raises(Refused, match="line break"):
        await streams.connect(bad)


async def test_without_a_runtime_its_socket_is_named(bench: Bench, tmp_path: Path) -> None:
    pod = make_pod("no-runtime", busybox("sleep", "600"))
    from edgelab.cri.choice import connect as runtime
    from edgelab.daemon.clock import SYSTEM

    dead = runtime(f"unix://{tmp_path}/nobody.sock")
    streams = Streams(dead, lambda *_: pod, SYSTEM)
    with pytest.raises(Refused, match=r"nobody\.sock does not exist") as refused:
        await streams.get(asked("/containerLogs/default/x/main"))
    assert refused.value.status == 500
