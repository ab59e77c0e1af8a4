"""A pod's life under its worker: order, hooks, grace, restarts, and what events and the status say of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from tests.edgecore.edged.desk import driven, working
from tests.edgecore.edged.samples import pod

from edgelab.cri.errors import CriError
from edgelab.cri.runtime import ExecResult
from edgelab.edgecore.edged import holding
from edgelab.edgecore.interfaces import Offline

Obj = dict[str, Any]
SIDE = {"name": "side", "image": "i", "restartPolicy": "Always"}


def main(**more: Any) -> Obj:
    return {"name": "main", "image": "nginx:1", **more}


@driven
async def test_pod_runs_and_its_events_tell_how_it_came_up(tmp_path: Path) -> None:
    async with working(tmp_path, pod(main())) as desk:
        await desk.until(lambda: desk.phase == "Running")
        await desk.passes(1)
        assert desk.events("Created") == ["Created container: main"]
        assert desk.events("Started") == ["Started container main"]
        started = next(e for e in desk.meta.events if e["reason"] == "Started")
        assert started["involvedObject"]["fieldPath"] == "spec.containers{main}"


@driven
async def test_init_containers_and_sidecars_start_in_order_and_end_in_reverse(tmp_path: Path) -> None:
    first, last = {**SIDE, "name": "first"}, {**SIDE, "name": "last"}
    once = {"name": "once", "image": "i"}
    async with working(tmp_path, pod(main(), initContainers=[first, once, last])) as desk:
        await desk.until(lambda: "once" in desk.runtime.running())
        assert desk.runtime.running() == ["first", "once"]
        desk.runtime.end("once")
        await desk.until(lambda: "main" in desk.runtime.running())
        starts = [call for call in desk.runtime.calls if call.startswith("start")]
        assert starts == ["start first", "start once", "start last", "start main"]
        desk.runtime.stops = {"main": 3.0, "last": 2.0, "first": 1.0}
        desk.runtime.calls.clear()
        took = desk.clock.monotonic()
        desk.delete()
        await desk.until(lambda: desk.meta.deleted)
        assert desk.runtime.calls[:6] == [
            "stop main",
            "ended main",
            "stop last",
            "ended last",
            "stop first",
            "ended first",
        ]
        assert 6 <= desk.clock.monotonic() - took < 10


@driven
async def test_sidecars_that_wait_for_a_slow_app_still_get_two_seconds(tmp_path: Path) -> None:
    async with working(tmp_path, pod(main(), initContainers=[SIDE])) as desk:
        await desk.until(lambda: desk.phase == "Running")
        desk.runtime.stops = {"main": 100.0}
        desk.delete(5)
        await desk.until(lambda: desk.meta.deleted)
        assert desk.runtime.grace == {"main": 5, "side": 2}


@driven
async def test_init_containers_run_again_in_a_new_sandbox(tmp_path: Path) -> None:
    initial = [{"name": "one", "image": "i"}, {"name": "two", "image": "i"}]
    async with working(tmp_path, pod(main(), initContainers=initial)) as desk:
        for name in ("one", "two"):
            await desk.until(lambda name=name: name in desk.runtime.running())
            desk.runtime.end(name)
        await desk.until(lambda: "main" in desk.runtime.running())
        desk.runtime.calls.clear()
        desk.runtime.lose_sandbox()
        await desk.until(lambda: "one" in desk.runtime.running())
        await desk.passes(15)
        assert desk.runtime.running() == ["one"]
        desk.runtime.end("one")
        await desk.until(lambda: "two" in desk.runtime.running())
        desk.runtime.end("two")
        await desk.until(lambda: "main" in desk.runtime.running())
        assert desk.events("SandboxChanged") == ["Pod sandbox changed, it will be killed and re-created."]
        assert desk.entry()["restartCount"] == 1


@driven
async def test_crash_loop_doubles_and_says_so(tmp_path: Path) -> None:
    async with working(tmp_path, pod(main())) as desk:
        waits = []
        for _ in range(4):
            await desk.until(lambda: "main" in desk.runtime.running(), 400)
            desk.runtime.end("main", 1)
            waits.append(round(await desk.until(lambda: "main" in desk.runtime.running(), 400)))
        assert [abs(wait - wanted) <= 1 for wait, wanted in zip(waits, (0, 10, 20, 40), strict=True)] == [
            True
        ] * 4
        desk.runtime.end("main", 1)
        await desk.passes(1)
        waiting = desk.entry()["state"]["waiting"]
        assert waiting == {
            "reason": "CrashLoopBackOff",
            "message": "back-off 1m20s restarting failed container=main pod=web_default(u-1)",
        }
        assert desk.entry()["lastState"]["terminated"]["exitCode"] == 1
        assert "Back-off restarting failed container main in pod web_default(u-1)" in desk.events("BackOff")


@driven
async def test_container_that_was_well_for_long_restarts_at_once(tmp_path: Path) -> None:
    async with working(tmp_path, pod(main())) as desk:
        for _ in range(3):
            await desk.until(lambda: "main" in desk.runtime.running(), 100)
            desk.runtime.end("main", 1)
        await desk.until(lambda: "main" in desk.runtime.running(), 100)
        await desk.passes(3600)
        desk.runtime.end("main", 1)
        assert await desk.until(lambda: "main" in desk.runtime.running()) < 2


@driven
async def test_pre_stop_hook_takes_its_time_out_of_the_grace_period(tmp_path: Path) -> None:
    container = main(lifecycle={"preStop": {"sleep": {"seconds": 4}}})
    async with working(tmp_path, pod(container)) as desk:
        await desk.until(lambda: desk.phase == "Running")
        desk.delete(10)
        await desk.until(lambda: desk.meta.deleted)
        assert desk.runtime.grace == {"main": 6}
        assert desk.events("Killing") == ["Stopping container main"]


@driven
async def test_endless_pre_stop_hook_leaves_two_seconds_and_an_event(tmp_path: Path) -> None:
    container = main(lifecycle={"preStop": {"sleep": {"seconds": 400}}})
    async with working(tmp_path, pod(container)) as desk:
        await desk.until(lambda: desk.phase == "Running")
        desk.delete(10)
        took = await desk.until(lambda: desk.meta.deleted)
        assert desk.runtime.grace == {"main": 2}
        assert took < 15
        assert desk.events("FailedPreStopHook") == ["PreStopHook failed"]


@driven
async def test_failing_post_start_hook_ends_the_container_and_is_named(tmp_path: Path) -> None:
    container = main(lifecycle={"postStart": {"exec": {"command": ["warm", "up"]}}})
    async with working(tmp_path, pod(container)) as desk:
        desk.runtime.commands["main"] = ExecResult(3, b"", b"cold")
        await desk.until(lambda: "PostStartHookError" in str(desk.entry().get("state")))
        waiting = desk.entry()["state"]["waiting"]
        assert waiting["reason"] == "PostStartHookError"
        assert 'for Container "main" in Pod "web_default(u-1)" failed - error:' in waiting["message"]
        assert "cold" in waiting["message"]
        await desk.passes(1)
        assert desk.events("FailedPostStartHook") == ["PostStartHook failed"]
        assert desk.runtime.running() == []
        desk.runtime.commands["main"] = ExecResult(0, b"", b"")
        await desk.until(lambda: desk.phase == "Running" and desk.entry()["ready"])


@driven
async def test_debug_container_is_put_into_a_running_pod_and_never_restarted(tmp_path: Path) -> None:
    async with working(tmp_path, pod(main())) as desk:
        await desk.until(lambda: desk.phase == "Running")
        desk.change(
            ephemeralContainers=[{"name": "shell", "image": "busybox:1", "targetContainerName": "main"}]
        )
        await desk.until(lambda: "shell" in desk.runtime.running())
        await desk.until(lambda: desk.entry("shell", "ephemeralContainerStatuses").get("state"))
        assert "running" in desk.entry("shell", "ephemeralContainerStatuses")["state"]
        target = desk.runtime.configs["shell"].linux.security_context.namespace_options
        assert (target.pid, target.target_id) == (3, desk.runtime.named("main").id)
        desk.runtime.end("shell", 2)
        await desk.passes(60)
        entry = desk.entry("shell", "ephemeralContainerStatuses")
        assert (entry["state"]["terminated"]["exitCode"], entry["restartCount"]) == (2, 0)
        assert desk.runtime.running() == ["main"]
        assert desk.condition("Ready")["status"] == "True"


@driven
async def test_liveness_probe_restarts_within_its_own_grace_period(tmp_path: Path) -> None:
    probe = {"exec": {"command": ["ok"]}, "periodSeconds": 5, "failureThreshold": 2}
    container = main(livenessProbe={**probe, "terminationGracePeriodSeconds": 7})
    async with working(tmp_path, pod(container, terminationGracePeriodSeconds=60)) as desk:
        await desk.until(lambda: desk.phase == "Running")
        desk.runtime.commands["main"] = ExecResult(1, b"not ", b"well")
        await desk.until(lambda: "stop main" in desk.runtime.calls)
        assert desk.runtime.grace == {"main": 7}
        desk.runtime.commands.clear()
        await desk.until(lambda: desk.entry().get("restartCount") == 1)
        assert set(desk.events("Unhealthy")) == {"Liveness probe failed: not well"}
        assert desk.events("Killing") == ["Container main failed liveness probe, will be restarted"]


@driven
async def test_startup_probe_holds_the_others_back_and_ready_comes_with_readiness(tmp_path: Path) -> None:
    startup = {"exec": {"command": ["startup"]}, "periodSeconds": 1, "failureThreshold": 30}
    ready = {"exec": {"command": ["ready"]}, "periodSeconds": 10, "initialDelaySeconds": 1}
    container = main(startupProbe=startup, readinessProbe=ready, livenessProbe=ready)
    async with working(tmp_path, pod(container)) as desk:
        desk.runtime.commands["main"] = ExecResult(1, b"", b"")
        await desk.until(lambda: desk.phase == "Running")
        await desk.passes(5)
        assert "exec main ready" not in desk.runtime.calls
        assert (desk.entry()["started"], desk.entry()["ready"]) == (False, False)
        desk.runtime.commands.clear()
        assert await desk.until(lambda: desk.entry()["ready"]) < 3
        assert desk.entry()["started"] is True
        count = desk.runtime.calls.count("exec main startup")
        await desk.passes(30)
        assert desk.runtime.calls.count("exec main startup") == count


@driven
async def test_probe_that_cannot_be_run_says_nothing_about_the_container(tmp_path: Path) -> None:
    probe = {"exec": {"command": ["ok"]}, "periodSeconds": 1, "failureThreshold": 1}
    async with working(tmp_path, pod(main(livenessProbe=probe))) as desk:
        desk.runtime.commands["main"] = CriError("UNKNOWN", "cannot exec")
        await desk.until(lambda: desk.phase == "Running")
        await desk.passes(30)
        assert desk.entry()["restartCount"] == 0
        assert desk.events("Unhealthy")[0] == "Liveness probe errored: cannot exec"


@driven
async def test_deadline_fails_the_pod_and_ends_it(tmp_path: Path) -> None:
    async with working(tmp_path, pod(main(), activeDeadlineSeconds=20)) as desk:
        await desk.until(lambda: desk.phase == "Running")
        took = await desk.until(lambda: desk.phase == "Failed")
        assert 18 <= took <= 21
        assert desk.status["reason"] == "DeadlineExceeded"
        await desk.until(lambda: desk.runtime.running() == [])
        assert desk.events("DeadlineExceeded")


@driven
async def test_readiness_goes_on_while_the_pod_ends(tmp_path: Path) -> None:
    ready = {"exec": {"command": ["ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    async with working(tmp_path, pod(main(readinessProbe=ready, livenessProbe=ready))) as desk:
        await desk.until(lambda: desk.condition("Ready").get("status") == "True")
        desk.runtime.stops = {"main": 20.0}
        desk.delete(30)
        await desk.passes(3)
        assert desk.condition("Ready")["status"] == "True"
        assert desk.entry()["ready"] is True
        await desk.until(lambda: desk.meta.deleted)


@driven
async def test_runtime_class_that_the_node_does_not_know_is_not_ignored(tmp_path: Path) -> None:
    async with working(tmp_path, pod(main(), runtimeClassName="gvisor")) as desk:
        await desk.passes(30)
        assert desk.phase == "Pending"
        assert desk.runtime.calls == []
        assert desk.events("FailedCreatePodSandBox")[0] == (
            'Failed to create pod sandbox: runtimeclass.node.k8s.io "gvisor" not found'
        )


@driven
async def test_held_pod_starts_when_it_is_released(tmp_path: Path) -> None:
    described = pod(main())
    described["metadata"]["annotations"]["edge.kubeedge.io/hold-upgrade"] = "true"
    async with working(tmp_path, described) as desk:
        desk.worker.held = holding.is_asked_for(described)
        await desk.passes(60)
        assert (desk.phase, desk.condition("HeldUpgrade")["status"]) == ("Pending", "True")
        assert desk.runtime.calls == []
        desk.worker.release()
        await desk.until(lambda: desk.phase == "Running")
        assert desk.condition("HeldUpgrade")["status"] == "False"


@driven
async def test_held_pod_starts_when_its_annotation_goes_and_ends_when_it_is_deleted(tmp_path: Path) -> None:
    described = pod(main())
    described["metadata"]["annotations"]["edge.kubeedge.io/hold-upgrade"] = "true"
    async with working(tmp_path, copy.deepcopy(described)) as desk:
        desk.worker.held = True
        await desk.passes(5)
        assert desk.runtime.calls == []
        desk.pod["metadata"]["annotations"] = {}
        desk.change()
        await desk.until(lambda: desk.phase == "Running")
    async with working(tmp_path, described) as desk:
        desk.worker.held = True
        await desk.passes(5)
        desk.delete()
        await desk.until(lambda: desk.meta.deleted)
        assert desk.runtime.calls == []


def limited(cpu: str, memory: str, **more: Any) -> Obj:
    return main(resources={"limits": {"cpu": cpu, "memory": memory}}, **more)


@driven
async def test_limits_change_in_place_once_and_without_a_restart(tmp_path: Path) -> None:
    async with working(tmp_path, pod(limited("1", "64Mi"))) as desk:
        await desk.until(lambda: desk.phase == "Running")
        await desk.passes(30)
        assert not [call for call in desk.runtime.calls if call.startswith("update")]
        desk.change(containers=[limited("500m", "128Mi")])
        await desk.passes(60)
        updates = [call for call in desk.runtime.calls if call.startswith("update")]
        assert updates == [f"update main 50000 {128 << 20}"]
        assert desk.entry()["restartCount"] == 0


@driven
async def test_limits_whose_policy_asks_for_it_come_with_a_restart(tmp_path: Path) -> None:
    policy = {"resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}
    async with working(tmp_path, pod(limited("1", "64Mi", **policy))) as desk:
        await desk.until(lambda: desk.phase == "Running")
        desk.change(containers=[limited("500m", "64Mi", **policy)])
        await desk.passes(15)
        assert desk.entry()["restartCount"] == 0
        desk.change(containers=[limited("500m", "128Mi", **policy)])
        await desk.until(lambda: desk.entry().get("restartCount") == 1)
        await desk.passes(60)
        assert desk.entry()["restartCount"] == 1
        assert desk.events("Killing") == ["Container main resize requires restart"]


@driven
async def test_limits_that_the_runtime_refuses_are_told_once(tmp_path: Path) -> None:
    async with working(tmp_path, pod(limited("1", "64Mi"))) as desk:
        await desk.until(lambda: desk.phase == "Running")
        desk.runtime.refuse_update["main"] = "memory is in use"
        desk.change(containers=[limited("1", "1Mi")])
        await desk.passes(120)
        assert desk.events("ResizeError") == ["Error resizing container main: memory is in use"]
        assert desk.phase == "Running"


@driven
async def test_token_in_a_volume_follows_the_one_that_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}]
    described = pod(main(), volumes=[{"name": "api", "projected": {"sources": sources}}])
    file = tmp_path / "kubelet/pods/u-1/volumes/kubernetes.io~projected/api/token"
    async with working(tmp_path, described) as desk:
        given = "first"

        async def token(namespace: str, name: str, request: Obj) -> Obj:
            if not desk.meta.online:
                raise Offline("away")
            return {**request, "status": {"token": given}}

        monkeypatch.setattr(desk.meta, "service_account_token", token)
        await desk.until(lambda: desk.phase == "Running")
        assert file.read_text() == "first"
        given = "second"
        assert await desk.until(lambda: file.read_text() == "second", 30) <= desk.kit.resync + 1
        desk.meta.online = False
        await desk.passes(60)
        assert (desk.phase, file.read_text()) == ("Running", "second")
        desk.meta.online = True
        desk.kit.events.connected()
        await desk.passes(1)
        assert "the cloud is away" in desk.events("FailedMount")[0]
