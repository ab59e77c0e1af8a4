"""Pods on a real containerd: what a user of Kubernetes expects of a node."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
from tests.component.edged.conftest import Bench, busybox, make_pod
from tests.component.edged.containerd import Containerd

from edgelab.edgecore.edged import logs, orphans


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def fetch(host: str, port: int) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET / HTTP/1.0\r\nHost: edge\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return text


def nginx_pod(port: int) -> dict[str, Any]:
    ports = [{"containerPort": 80, "hostPort": port}]
    probe = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1}
    return make_pod("nginx", {"image": "edgelab.local/nginx:1.22", "ports": ports, "readinessProbe": probe})


async def test_nginx_serves_its_page_on_the_host_port(bench: Bench) -> None:
    await bench.start()
    port = free_port()
    pod = nginx_pod(port)
    began = time.monotonic()
    bench.apply(pod)
    await bench.phase(pod, "Running")
    print(f"Running after {time.monotonic() - began:.2f} s")
    await bench.ready(pod)
    for address in ("127.0.0.1", bench.status(pod)["podIP"]):
        page = await fetch(address, port if address == "127.0.0.1" else 80)
        assert "Welcome to nginx!" in page
    status = bench.status(pod)
    assert status["hostIP"] == "127.0.0.1"
    assert status["containerStatuses"][0]["state"]["running"]["startedAt"]
    assert status["containerStatuses"][0]["ready"] is True


async def test_restart_of_edged_leaves_containers_alone_even_offline(bench: Bench) -> None:
    await bench.start()
    port = free_port()
    pod = nginx_pod(port)
    bench.apply(pod)
    await bench.ready(pod)
    before = [(c.id, c.state) for c in await bench.containers(pod)]
    await bench.stop()
    assert "Welcome to nginx!" in await fetch("127.0.0.1", port)
    bench.meta.online = False
    await bench.start()
    await asyncio.sleep(3)
    assert [(c.id, c.state) for c in await bench.containers(pod)] == before
    assert "Welcome to nginx!" in await fetch("127.0.0.1", port)
    bench.meta.online = True
    bench.meta.history.clear()
    assert bench.edged is not None
    bench.edged.connection_changed(True)
    await bench.until(lambda: bench.meta.history, "status sent again after the reconnect", 3)
    assert bench.status(pod)["containerStatuses"][0]["restartCount"] == 0


async def test_deletion_is_graceful_then_complete(bench: Bench) -> None:
    await bench.start()
    script = "trap 'echo got TERM > /shared/end; exit 0' TERM; while :; do sleep 0.1; done"
    directory = bench.base / "shared"
    directory.mkdir()
    mount = [{"name": "shared", "mountPath": "/shared"}]
    volume = [{"name": "shared", "hostPath": {"path": str(directory)}}]
    pod = make_pod("graceful", busybox("sh", "-c", script, volumeMounts=mount), volumes=volume)
    bench.apply(pod)
    await bench.phase(pod, "Running")
    pod["metadata"] |= {"deletionTimestamp": "2026-11-21T10:00:00Z", "deletionGracePeriodSeconds": 5}
    bench.apply(pod)
    await bench.until(lambda: bench.meta.deleted, "pod deleted in the API", 10)
    assert (directory / "end").read_text() == "got TERM\n"
    assert bench.status(pod)["phase"] == "Succeeded"
    assert await bench.sandboxes(pod) == []
    bench.remove(pod)
    assert bench.edged is not None
    edged = bench.edged
    await bench.until(lambda: not edged._workers, "worker gone", 5)
    assert not (bench.base / "kubelet" / "pods" / pod["metadata"]["uid"]).exists()


async def test_pod_deleted_while_offline_ends_and_is_deleted_after_the_reconnect(bench: Bench) -> None:
    await bench.start()
    pod = make_pod("offline", busybox("sleep", "1000"), terminationGracePeriodSeconds=1)
    bench.apply(pod)
    await bench.phase(pod, "Running")
    bench.meta.online = False
    pod["metadata"] |= {"deletionTimestamp": "2026-11-21T10:00:00Z", "deletionGracePeriodSeconds": 1}
    bench.apply(pod)
    deadline = time.monotonic() + 10
    while await bench.sandboxes(pod) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert await bench.sandboxes(pod) == []
    assert bench.meta.deleted == []
    bench.meta.online = True
    assert bench.edged is not None
    bench.edged.connection_changed(True)
    await bench.until(lambda: bench.meta.deleted, "deleted in the API after the reconnect", 3)


async def test_crashing_container_backs_off(bench: Bench) -> None:
    await bench.start()
    pod = make_pod("crash", busybox("sh", "-c", "echo last words > /dev/termination-log; exit 3"))
    bench.apply(pod)

    def state() -> dict[str, Any]:
        statuses = bench.status(pod).get("containerStatuses") or [{}]
        return statuses[0]

    await bench.until(
        lambda: state().get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff",
        "CrashLoopBackOff",
    )
    assert state()["restartCount"] >= 1
    ended = state()["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "last words\n")
    assert state()["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=main")
    count = state()["restartCount"]
    await bench.until(lambda: state()["restartCount"] > count, "the next restart after 10 s", 15)
    assert len(await bench.containers(pod)) <= 2


async def test_job_like_pod_ends_succeeded_and_releases_its_sandbox(bench: Bench) -> None:
    await bench.start()
    pod = make_pod("job", busybox("sh", "-c", "exit 0"), restartPolicy="Never")
    bench.apply(pod)
    await bench.phase(pod, "Succeeded")
    assert bench.status(pod)["containerStatuses"][0]["state"]["terminated"]["reason"] == "Completed"
    await asyncio.sleep(1.5)
    assert all(sandbox.state for sandbox in await bench.sandboxes(pod))


async def test_config_map_volume_follows_its_object(bench: Bench) -> None:
    bench.meta.put("configmap", "settings", {"key": "one"})
    bench.meta.put("secret", "hidden", {"password": "geheim"})
    edged = await bench.start()
    script = "while :; do cat /config/key /secret/password > /out/seen; sleep 0.1; done"
    out = bench.base / "out"
    out.mkdir()
    container = busybox(
        "sh",
        "-c",
        script,
        volumeMounts=[
            {"name": "config", "mountPath": "/config"},
            {"name": "secret", "mountPath": "/secret"},
            {"name": "out", "mountPath": "/out"},
        ],
    )
    pod = make_pod(
        "volumes",
        container,
        volumes=[
            {"name": "config", "configMap": {"name": "settings"}},
            {"name": "secret", "secret": {"secretName": "hidden", "defaultMode": 0o400}},
            {"name": "out", "hostPath": {"path": str(out), "type": "Directory"}},
        ],
    )
    bench.apply(pod)
    seen = out / "seen"
    await bench.until(lambda: seen.exists() and seen.read_text() == "onegeheim", "first content")
    bench.meta.put("configmap", "settings", {"key": "two"})
    edged.config_changed("configmap", "default", "settings")
    await bench.until(lambda: seen.read_text() == "twogeheim", "changed content", 5)


async def test_missing_config_map_is_named_and_cured(bench: Bench) -> None:
    edged = await bench.start()
    reference = {"configMapKeyRef": {"name": "later", "key": "k"}}
    env = [{"name": "VALUE", "valueFrom": reference}]
    pod = make_pod("waits", busybox("sh", "-c", 'test "$VALUE" = there && sleep 100', env=env))
    bench.apply(pod)

    def waiting() -> dict[str, Any]:
        statuses = bench.status(pod).get("containerStatuses") or [{}]
        return statuses[0].get("state", {}).get("waiting") or {}

    await bench.until(lambda: waiting().get("reason") == "CreateContainerConfigError", "config error")
    assert 'configmaps "later" not found' in waiting()["message"]
    bench.meta.put("configmap", "later", {"k": "there"})
    edged.config_changed("configmap", "default", "later")
    await bench.phase(pod, "Running", 5)


async def test_missing_image_is_named(bench: Bench) -> None:
    await bench.start()
    pod = make_pod("noimage", {"image": "edgelab.local/none:1", "imagePullPolicy": "Never"})
    bench.apply(pod)

    def waiting() -> dict[str, Any]:
        statuses = bench.status(pod).get("containerStatuses") or [{}]
        return statuses[0].get("state", {}).get("waiting") or {}

    await bench.until(lambda: waiting().get("reason") == "ErrImageNeverPull", "ErrImageNeverPull")
    assert bench.status(pod)["phase"] == "Pending"


async def test_failing_liveness_probe_restarts_the_container(bench: Bench) -> None:
    await bench.start()
    probe = {"exec": {"command": ["test", "-e", "/tmp/well"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = "touch /tmp/well; sleep 2; rm /tmp/well; sleep 1000"
    pod = make_pod(
        "liveness", busybox("sh", "-c", script, livenessProbe=probe), terminationGracePeriodSeconds=1
    )
    bench.apply(pod)
    await bench.phase(pod, "Running")
    await bench.until(
        lambda: bench.status(pod)["containerStatuses"][0]["restartCount"] == 1, "restart by liveness", 20
    )


async def test_a_restart_that_is_asked_for_makes_new_containers(bench: Bench) -> None:
    """As MetaServer's `pods/restart` and `keadm ctl restart pod` do."""
    edged = await bench.start()
    pod = make_pod("asked", busybox("sleep", "1000"), terminationGracePeriodSeconds=1)
    bench.apply(pod)
    await bench.ready(pod)
    before = bench.status(pod)["containerStatuses"][0]["containerID"]
    await edged.restart_pod("default", pod["metadata"]["name"])
    await bench.until(
        lambda: bench.status(pod)["containerStatuses"][0]["restartCount"] == 1, "restart as asked for"
    )
    await bench.ready(pod)
    assert bench.status(pod)["containerStatuses"][0]["containerID"] != before
    with pytest.raises(LookupError):
        await edged.restart_pod("default", "none")
    once = make_pod("once", busybox("sleep", "1000"), restartPolicy="Never", terminationGracePeriodSeconds=1)
    bench.apply(once)
    await bench.ready(once)
    with pytest.raises(ValueError, match="restartPolicy is Never"):
        await edged.restart_pod("default", once["metadata"]["name"])


async def test_init_containers_run_first_and_in_order(bench: Bench) -> None:
    await bench.start()
    mounts = [{"name": "work", "mountPath": "/work"}]
    initial = [
        {"name": "first", **busybox("sh", "-c", "echo first >> /work/order", volumeMounts=mounts)},
        {"name": "second", **busybox("sh", "-c", "echo second >> /work/order", volumeMounts=mounts)},
    ]
    script = 'test "$(cat /work/order)" = "$(printf "first\\nsecond")" && sleep 100'
    pod = make_pod(
        "init",
        busybox("sh", "-c", script, volumeMounts=mounts),
        initContainers=initial,
        volumes=[{"name": "work", "emptyDir": {}}],
    )
    bench.apply(pod)
    await bench.phase(pod, "Running")
    states = [entry["state"]["terminated"]["reason"] for entry in bench.status(pod)["initContainerStatuses"]]
    assert states == ["Completed", "Completed"]


async def test_limits_and_identity_reach_the_container(bench: Bench) -> None:
    await bench.start()
    out = bench.base / "facts"
    out.mkdir()
    env = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
    ]
    script = 'echo "$NAME $IP $LIMIT $(id -u) $(hostname)" > /out/facts; sleep 100'
    container = busybox(
        "sh",
        "-c",
        script,
        env=env,
        volumeMounts=[{"name": "out", "mountPath": "/out"}],
        resources={"limits": {"memory": "64Mi", "cpu": "500m"}},
        securityContext={"runAsUser": 1000, "allowPrivilegeEscalation": False},
    )
    out.chmod(0o777)
    pod = make_pod("facts", container, volumes=[{"name": "out", "hostPath": {"path": str(out)}}])
    bench.apply(pod)
    await bench.until(lambda: (out / "facts").exists() and (out / "facts").read_text(), "facts written")
    name, ip, limit, user, host = (out / "facts").read_text().split()
    assert (name, limit, user, host) == (
        pod["metadata"]["name"],
        str(64 << 20),
        "1000",
        pod["metadata"]["name"],
    )
    await bench.phase(pod, "Running")
    assert ip == bench.status(pod)["podIP"]
    assert bench.status(pod)["qosClass"] == "Guaranteed"


async def test_orphans_of_an_earlier_life_are_removed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans, "FIRST", 0.5)
    await bench.start()
    pod = make_pod("orphan", busybox("sleep", "1000"), terminationGracePeriodSeconds=1)
    bench.apply(pod)
    await bench.phase(pod, "Running")
    await bench.stop()
    bench.meta.stored_pods.clear()
    await bench.start()
    deadline = time.monotonic() + 10
    while await bench.sandboxes(pod) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    assert await bench.sandboxes(pod) == []


async def test_pods_are_not_taken_for_orphans_when_the_store_was_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "FIRST", 0.3)
    await bench.start()
    pod = make_pod("kept", busybox("sleep", "1000"), terminationGracePeriodSeconds=1)
    bench.apply(pod)
    await bench.phase(pod, "Running")
    before = [container.id for container in await bench.containers(pod)]
    await bench.stop()
    bench.meta.stored_pods.clear()
    bench.meta.nodes.clear()
    bench.meta.online = False
    await bench.start()
    await asyncio.sleep(2)
    bench.meta.online = True
    assert bench.edged is not None
    bench.edged.connection_changed(True)
    await asyncio.sleep(1)
    bench.apply(pod)
    await asyncio.sleep(1)
    assert [container.id for container in await bench.containers(pod)] == before
    assert all(container.state == 1 for container in await bench.containers(pod))


async def test_node_is_not_ready_while_the_network_plugin_is_missing(
    runtime_daemon: Containerd, bench: Bench
) -> None:
    network = runtime_daemon.base / "cni" / "10-test.conflist"
    network.unlink()
    try:
        deadline = time.monotonic() + 10
        while (await bench.runtime.readiness()).network and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        await bench.start()
        await bench.until(lambda: bench.meta.node_patches, "node status")
        ready = bench.meta.nodes["edge1"]["status"]["conditions"][-1]
        assert (ready["type"], ready["status"]) == ("Ready", "False")
        assert "NetworkPluginNotReady" in ready["message"]
    finally:
        runtime_daemon.write_network()

    def is_ready() -> bool:
        condition = bench.meta.nodes["edge1"]["status"]["conditions"][-1]
        return bool(condition["status"] == "True")

    await bench.until(is_ready, "Ready when the plugin is there", 15)


async def test_pods_outlive_a_crash_of_the_runtime(runtime_daemon: Containerd, bench: Bench) -> None:
    await bench.start()
    port = free_port()
    pod = nginx_pod(port)
    bench.apply(pod)
    await bench.ready(pod)
    before = [c.id for c in await bench.containers(pod)]
    runtime_daemon.kill_daemon()
    await asyncio.sleep(1.5)
    assert "Welcome to nginx!" in await fetch("127.0.0.1", port)
    runtime_daemon.start()
    await asyncio.sleep(2.5)
    assert [c.id for c in await bench.containers(pod)] == before
    assert bench.status(pod)["containerStatuses"][0]["restartCount"] == 0
    other = make_pod("after", busybox("sleep", "100"), terminationGracePeriodSeconds=1)
    bench.apply(other)
    await bench.phase(other, "Running")


async def test_long_logs_are_put_aside_and_only_a_few_are_kept(bench: Bench) -> None:
    config = bench.settings.tailoredKubeletConfig
    config.containerLogMaxSize, config.containerLogMaxFiles = "20k", 3
    config.containerLogMonitorInterval = "1s"
    await bench.start()
    script = "i=0; while :; do i=$((i+1)); echo line $i; [ $((i % 200)) = 0 ] && sleep 0.1; done"
    pod = make_pod("chatty", busybox("sh", "-c", script), terminationGracePeriodSeconds=1)
    bench.apply(pod)
    await bench.phase(pod, "Running")
    metadata = pod["metadata"]
    directory = bench.base / "logs" / f"default_{metadata['name']}_{metadata['uid']}" / "main"

    def aside() -> list[str]:
        return sorted(path.name for path in directory.glob("0.log.*"))

    await bench.until(
        lambda: len(aside()) == 2 and aside()[0].endswith(".gz"), "an older log, compressed", 10
    )
    first = aside()
    await bench.until(lambda: aside() != first, "the oldest goes", 10)
    assert len(list(directory.iterdir())) <= 3
    newest = directory / "0.log"  # not there for the moment between renaming and opening it again
    await bench.until(newest.exists, "a new log", 5)
    before = logs.size(newest)
    await bench.until(lambda: logs.size(newest) not in (0, before), "the container writes to the new file", 5)


async def test_pods_come_back_after_a_power_cut(runtime_daemon: Containerd, bench: Bench) -> None:
    await bench.start()
    port = free_port()
    pod = nginx_pod(port)
    bench.apply(pod)
    await bench.phase(pod, "Running")
    await bench.stop()
    runtime_daemon.stop()
    runtime_daemon.start()
    bench.meta.online = False
    await bench.start()
    deadline = time.monotonic() + 20
    page = ""
    while "Welcome to nginx!" not in page and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        try:
            page = await fetch("127.0.0.1", port)
        except OSError:
            continue
    assert "Welcome to nginx!" in page
    bench.meta.online = True
    assert bench.edged is not None
    bench.edged.connection_changed(True)
    await bench.until(lambda: bench.status(pod)["containerStatuses"][0]["restartCount"] == 1, "one restart")
    assert [sandbox.metadata.attempt for sandbox in await bench.sandboxes(pod) if not sandbox.state] == [1]
