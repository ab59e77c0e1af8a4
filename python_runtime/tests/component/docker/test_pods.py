"""edged on the Docker Engine API: whole pods on a real dockerd."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.component.docker.dockerd import Dockerd
from tests.component.docker.test_streams import commands
from tests.component.edged.conftest import Bench, busybox, make_pod
from tests.component.edged.test_pods import fetch, free_port, nginx_pod

from edgelab.cri.docker.runtime import DockerRuntime
from edgelab.cri.errors import CriError
from edgelab.cri.logs import parse


def docker_of(bench: Bench) -> DockerRuntime:
    assert isinstance(bench.runtime, DockerRuntime)
    return bench.runtime


async def test_a_pod_serves_on_its_host_port_and_outlives_edgecore(bench: Bench) -> None:
    edged = await bench.start()
    port = free_port()
    pod = nginx_pod(port)
    bench.apply(pod)
    await bench.ready(pod)
    assert "Welcome to nginx!" in await fetch("127.0.0.1", port)
    status = bench.status(pod)
    assert status["podIP"]
    assert status["containerStatuses"][0]["containerID"]
    await bench.until(lambda: bench.meta.nodes, "the Node")
    info = bench.meta.nodes["edge1"]["status"]["nodeInfo"]
    assert info["containerRuntimeVersion"].startswith("docker://")
    before = [container.id for container in await bench.containers(pod)]
    await bench.stop()
    assert "Welcome to nginx!" in await fetch("127.0.0.1", port)
    assert await bench.start() is not edged
    await asyncio.sleep(2)
    assert [container.id for container in await bench.containers(pod)] == before
    assert bench.status(pod)["containerStatuses"][0]["restartCount"] == 0


async def test_a_deleted_pod_is_gone_with_its_log(bench: Bench) -> None:
    await bench.start()
    pod = make_pod("gone", busybox("sleep", "1000"), terminationGracePeriodSeconds=1)
    bench.apply(pod)
    await bench.phase(pod, "Running")
    pod["metadata"] |= {"deletionTimestamp": "2026-11-21T10:00:00Z", "deletionGracePeriodSeconds": 1}
    bench.apply(pod)
    await bench.until(lambda: bench.meta.deleted, "deleted in the API")
    bench.remove(pod)
    deadline = time.monotonic() + 10
    while await bench.sandboxes(pod) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert await bench.sandboxes(pod) == []
    assert await bench.containers(pod) == []


async def test_probe_exec_log_and_usage(bench: Bench) -> None:
    await bench.start()
    probe = {"exec": {"command": ["test", "-e", "/tmp/well"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = "echo hello; echo trouble >&2; touch /tmp/well; sleep 1000"
    container = busybox("sh", "-c", script, readinessProbe=probe)
    pod = make_pod("probed", container, terminationGracePeriodSeconds=1)
    bench.apply(pod)
    await bench.ready(pod)
    runtime = docker_of(bench)
    (found,) = await bench.containers(pod)
    done = await runtime.exec_sync(found.id, ["sh", "-c", "echo out; echo err >&2; exit 7"], 5)
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    with pytest.raises(CriError) as late:
        await runtime.exec_sync(found.id, ["sh", "-c", "sleep 7411; true"], 1)
    assert late.value.code == "DEADLINE_EXCEEDED"
    await bench.until(lambda: not commands("sleep 7411"), "the command that was too slow is ended")
    given_up = asyncio.create_task(runtime.exec_sync(found.id, ["sh", "-c", "sleep 7412; true"], 60))
    await bench.until(lambda: commands("sleep 7412"), "the command runs")
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    await bench.until(lambda: not commands("sleep 7412"), "the command that nobody waits for is ended")
    log = Path((await runtime.container_status(found.id)).log_path)
    lines = [parse(line) for line in log.read_bytes().splitlines(keepends=True)]
    assert {(line.stream, line.text) for line in lines if line} == {
        ("stdout", "hello\n"),
        ("stderr", "trouble\n"),
    }
    (usage,) = await runtime.stats({"io.kubernetes.pod.uid": pod["metadata"]["uid"]})
    assert usage.cpu.usage_core_nano_seconds.value > 0
    assert usage.memory.working_set_bytes.value > 0


async def test_identity_limits_and_names_reach_the_container(bench: Bench) -> None:
    await bench.start()
    out = bench.base / "facts"
    out.mkdir()
    out.chmod(0o777)
    script = 'echo "$(id -u) $(hostname) $(cat /etc/resolv.conf | tr "\\n" " ")" > /out/facts; sleep 100'
    container = busybox(
        "sh",
        "-c",
        script,
        volumeMounts=[{"name": "out", "mountPath": "/out"}],
        resources={"limits": {"memory": "64Mi", "cpu": "500m"}},
        securityContext={"runAsUser": 1000, "allowPrivilegeEscalation": False},
    )
    pod = make_pod(
        "facts",
        container,
        volumes=[{"name": "out", "hostPath": {"path": str(out)}}],
        dnsPolicy="None",
        dnsConfig={"nameservers": ["10.1.2.3"], "searches": ["edge.local"]},
    )
    bench.apply(pod)
    await bench.until(lambda: (out / "facts").exists() and (out / "facts").read_text(), "facts written")
    user, host, resolv = (out / "facts").read_text().split(maxsplit=2)
    assert (user, host) == ("1000", pod["metadata"]["name"])
    assert "nameserver 10.1.2.3" in resolv
    assert "edge.local" in resolv
    (found,) = await bench.containers(pod)
    metadata = pod["metadata"]
    expected = f"/k8s_main_{metadata['name']}_default_{metadata['uid']}_0"
    raw: Any = await docker_of(bench)._inspect(found.id)
    assert raw["Name"] == expected
    assert raw["HostConfig"]["Memory"] == 64 << 20
    assert raw["HostConfig"]["CpuQuota"] == 50_000


async def test_a_crash_is_told_with_its_message_and_restarted(bench: Bench) -> None:
    await bench.start()
    pod = make_pod("crash", busybox("sh", "-c", "echo last words > /dev/termination-log; exit 3"))
    bench.apply(pod)

    def state() -> dict[str, Any]:
        statuses = bench.status(pod).get("containerStatuses") or [{}]
        return dict(statuses[0])

    await bench.until(
        lambda: state().get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff",
        "CrashLoopBackOff",
    )
    ended = state()["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "last words\n")


async def test_a_missing_image_is_named(bench: Bench) -> None:
    await bench.start()
    pod = make_pod("noimage", {"image": "edgelab.local/none:1", "imagePullPolicy": "IfNotPresent"})
    bench.apply(pod)

    def waiting() -> dict[str, Any]:
        statuses = bench.status(pod).get("containerStatuses") or [{}]
        return dict(statuses[0].get("state", {}).get("waiting") or {})

    await bench.until(lambda: waiting().get("reason") in ("ErrImagePull", "ImagePullBackOff"), "pull error")


async def test_pods_outlive_a_crash_of_dockerd(docker: Dockerd, bench: Bench) -> None:
    await bench.start()
    port = free_port()
    pod = nginx_pod(port)
    bench.apply(pod)
    await bench.ready(pod)
    before = [container.id for container in await bench.containers(pod)]
    docker.kill_daemon()
    await asyncio.sleep(1.5)
    docker.start()
    await asyncio.sleep(2.5)
    assert [container.id for container in await bench.containers(pod)] == before
    assert bench.status(pod)["containerStatuses"][0]["restartCount"] == 0
    other = make_pod("after", busybox("sleep", "100"), terminationGracePeriodSeconds=1)
    bench.apply(other)
    await bench.phase(other, "Running")
