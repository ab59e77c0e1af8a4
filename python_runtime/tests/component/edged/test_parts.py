"""Parts of pods that are the runtime's affair as much as ours: debug containers, sidecars, hooks."""

from __future__ import annotations

import asyncio
import copy
import os
from pathlib import Path
from typing import Any

from tests.component.edged.conftest import Bench, busybox, cgroup_root, make_pod

Obj = dict[str, Any]


def shared(bench: Bench) -> tuple[Path, list[Obj], list[Obj]]:
    """A directory of the host, and how a pod mounts it."""
    directory = bench.base / "shared"
    directory.mkdir(exist_ok=True)
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    return directory, mounts, [{"name": "shared", "hostPath": {"path": str(directory)}}]


async def test_debug_container_sees_the_processes_of_its_target(bench: Bench) -> None:
    await bench.start()
    directory, mounts, volumes = shared(bench)
    pod = make_pod("debug", busybox("sleep", "4711"), volumes=volumes, terminationGracePeriodSeconds=1)
    bench.apply(pod)
    await bench.phase(pod, "Running")
    script = "for file in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $file; done > /shared/seen; exit 3"
    shell = {"name": "shell", "targetContainerName": "main", **busybox("sh", "-c", script)}
    changed = copy.deepcopy(pod)
    changed["spec"]["ephemeralContainers"] = [{**shell, "volumeMounts": mounts}]
    bench.apply(changed)

    def entry() -> Obj:
        return (bench.status(pod).get("ephemeralContainerStatuses") or [{}])[0]

    await bench.until(lambda: "terminated" in entry().get("state", {}), "debug container ended")
    assert "sleep 4711" in (directory / "seen").read_text()
    assert entry()["state"]["terminated"]["exitCode"] == 3
    await asyncio.sleep(3)
    assert entry()["restartCount"] == 0
    assert bench.status(pod)["containerStatuses"][0]["restartCount"] == 0
    assert bench.status(pod)["phase"] == "Running"


async def test_sidecar_runs_before_the_app_and_ends_after_it(bench: Bench) -> None:
    await bench.start()
    directory, mounts, volumes = shared(bench)

    def ends(name: str, ready: str = "") -> Obj:
        script = f"trap 'echo {name} >> /shared/order; exit 0' TERM; {ready} while :; do sleep 0.1; done"
        return busybox("sh", "-c", script, volumeMounts=mounts)

    probe = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1}
    side = {"name": "side", "restartPolicy": "Always", "startupProbe": probe}
    pod = make_pod(
        "sidecar",
        ends("main", "echo begun >> /shared/order;"),
        initContainers=[{**side, **ends("side", "sleep 1; echo up >> /shared/order; touch /tmp/up;")}],
        volumes=volumes,
    )
    bench.apply(pod)
    await bench.phase(pod, "Running")
    await bench.ready(pod)
    pod["metadata"] |= {"deletionTimestamp": "2026-11-21T10:00:00Z", "deletionGracePeriodSeconds": 10}
    bench.apply(pod)
    await bench.until(lambda: bench.meta.deleted, "pod deleted in the API", 15)
    assert (directory / "order").read_text().split() == ["up", "begun", "main", "side"]


async def test_job_with_a_sidecar_is_done_when_its_app_is(bench: Bench) -> None:
    await bench.start()
    side = {"name": "side", "restartPolicy": "Always", **busybox("sleep", "1000")}
    pod = make_pod(
        "sidejob",
        busybox("sh", "-c", "sleep 1"),
        initContainers=[side],
        restartPolicy="Never",
        terminationGracePeriodSeconds=1,
    )
    bench.apply(pod)
    await bench.phase(pod, "Succeeded")
    assert "terminated" in bench.status(pod)["initContainerStatuses"][0]["state"]


async def test_hooks_run_in_the_container(bench: Bench) -> None:
    await bench.start()
    directory, mounts, volumes = shared(bench)
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started >> /shared/order"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "sleep 1; echo stopping >> /shared/order"]}},
    }
    script = "trap 'echo TERM >> /shared/order; exit 0' TERM; while :; do sleep 0.1; done"
    pod = make_pod(
        "hooks", busybox("sh", "-c", script, volumeMounts=mounts, lifecycle=hooks), volumes=volumes
    )
    bench.apply(pod)
    await bench.ready(pod)
    pod["metadata"] |= {"deletionTimestamp": "2026-11-21T10:00:00Z", "deletionGracePeriodSeconds": 10}
    bench.apply(pod)
    await bench.until(lambda: bench.meta.deleted, "pod deleted in the API", 15)
    assert (directory / "order").read_text().split() == ["started", "stopping", "TERM"]


async def test_probe_by_command_that_hangs_fails_in_time_and_is_an_event(bench: Bench) -> None:
    bench.settings.reportEvent = True
    await bench.start()
    probe = {"exec": {"command": ["sleep", "100"]}, "periodSeconds": 1, "failureThreshold": 1}
    pod = make_pod("hangs", busybox("sleep", "1000", readinessProbe=probe), terminationGracePeriodSeconds=1)
    bench.apply(pod)
    await bench.phase(pod, "Running")

    def told() -> list[str]:
        return [event["message"] for event in bench.meta.events if event["reason"] == "Unhealthy"]

    await bench.until(told, "event of the failing probe", 15)
    assert told()[0] == 'Readiness probe failed: command "sleep 100" timed out after 1s'
    assert bench.status(pod)["containerStatuses"][0]["ready"] is False


async def test_successor_of_the_same_name_waits_for_the_end_of_the_older_pod(bench: Bench) -> None:
    await bench.start()
    directory, mounts, volumes = shared(bench)

    def writing(text: str) -> Obj:
        script = f"echo {text} begins >> /shared/order; trap 'sleep 2; echo {text} ends >> /shared/order; "
        return busybox("sh", "-c", script + "exit 0' TERM; while :; do sleep 0.1; done", volumeMounts=mounts)

    older = make_pod("twin", writing("older"), volumes=volumes, terminationGracePeriodSeconds=10)
    bench.apply(older)
    await bench.phase(older, "Running")
    newer = make_pod("twin", writing("newer"), volumes=volumes, terminationGracePeriodSeconds=1)
    newer["metadata"]["name"] = older["metadata"]["name"]
    bench.apply(newer)
    expected = ["older begins", "older ends", "newer begins"]
    await bench.until(lambda: (directory / "order").read_text().splitlines() == expected, "one after another")


async def test_pod_whose_host_port_is_taken_is_refused(bench: Bench) -> None:
    await bench.start()
    ports = [{"containerPort": 80, "hostPort": 18080}]
    first = make_pod("first", busybox("sleep", "1000", ports=ports), terminationGracePeriodSeconds=1)
    bench.apply(first)
    await bench.phase(first, "Running")
    second = make_pod("second", busybox("sleep", "1000", ports=ports))
    bench.apply(second)
    await bench.phase(second, "Failed")
    assert bench.status(second)["reason"] == "NodePorts"
    await bench.stop()
    await bench.start()
    await asyncio.sleep(2)
    assert bench.status(first)["phase"] == "Running"
    assert bench.status(second)["phase"] == "Failed"
    assert await bench.sandboxes(second) == []


async def test_program_that_is_not_root_reads_its_token_and_cannot_change_its_configuration(
    bench: Bench,
) -> None:
    bench.meta.put("configmap", "settings", {"key": "value"})
    await bench.start()
    directory, mounts, volumes = shared(bench)
    directory.chmod(0o777)
    script = (
        "cat /api/token > /shared/token; id -G > /shared/groups; stat -c %a /memory > /shared/mode; "
        "touch /config/new 2> /shared/refused; grep ' /memory ' /proc/mounts > /shared/mount; sleep 1000"
    )
    container = busybox(
        "sh",
        "-c",
        script,
        resources={"limits": {"memory": "64Mi"}},
        volumeMounts=[
            *mounts,
            {"name": "api", "mountPath": "/api"},
            {"name": "config", "mountPath": "/config"},
            {"name": "memory", "mountPath": "/memory"},
        ],
    )
    pod = make_pod(
        "reader",
        container,
        securityContext={
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 2000,
            "supplementalGroups": [3000],
        },
        terminationGracePeriodSeconds=1,
        volumes=[
            *volumes,
            {"name": "api", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            {"name": "config", "configMap": {"name": "settings"}},
            {"name": "memory", "emptyDir": {"medium": "Memory"}},
        ],
    )
    bench.apply(pod)
    await bench.until(
        lambda: (directory / "mount").exists() and (directory / "mount").read_text(), "all written"
    )
    assert (directory / "token").read_text() == "token-of-default"
    assert set((directory / "groups").read_text().split()) == {"1000", "2000", "3000"}
    assert "Read-only file system" in (directory / "refused").read_text()
    assert (directory / "mode").read_text().strip() == "2777"
    assert "size=65536k" in (directory / "mount").read_text()


async def test_limits_change_in_the_running_container(bench: Bench) -> None:
    await bench.start()
    limits = {"memory": "64Mi", "cpu": "500m"}
    pod = make_pod(
        "resized", busybox("sleep", "1000", resources={"limits": limits}), terminationGracePeriodSeconds=1
    )
    bench.apply(pod)
    await bench.phase(pod, "Running")
    [before] = [container.id for container in await bench.containers(pod)]
    changed = copy.deepcopy(pod)
    changed["spec"]["containers"][0]["resources"]["limits"] = {"memory": "96Mi", "cpu": "500m"}
    bench.apply(changed)

    def written() -> set[str]:
        mount, found = Path("/sys/fs/cgroup"), set()
        tops = [place / cgroup_root().strip("/") for place in (mount, mount / "memory")]
        for top in tops:
            for directory, _, files in os.walk(top):  # groups of other tests may go meanwhile
                for name in {"memory.limit_in_bytes", "memory.max"} & set(files):
                    if before in directory:
                        found.add((Path(directory) / name).read_text().strip())
        return found

    await bench.until(lambda: written() == {str(96 << 20)}, "the new limit in the control group", 15)
    assert [container.id for container in await bench.containers(pod)] == [before]
