"""One pod from its first appearance to its end (kubelet `pod_workers.go`, `SyncPod`, `SyncTerminatingPod`).

Receives: the newest description of the pod; older ones are forgotten. Sends: calls to the runtime, the
pod's status, and its deletion when all of it has ended. Stores: files below the pod's directory.
When the runtime is away it tries again; when the cloud is away it goes on with what it has.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgecore.edged import (
    builder,
    cgroups,
    cleaning,
    holding,
    names,
    plan,
    podspec,
    sandboxes,
    state,
    status,
)
from edgelab.edgecore.edged.attempts import Attempts
from edgelab.edgecore.edged.ending import end_containers
from edgelab.edgecore.edged.fields import PodFacts
from edgelab.edgecore.edged.hooks import Hand
from edgelab.edgecore.edged.kit import Kit
from edgelab.edgecore.edged.problems import ContainerProblem, VolumeProblem
from edgelab.edgecore.edged.resizing import Resizer
from edgelab.edgecore.edged.starting import start_container
from edgelab.edgecore.edged.state import Container, PodState
from edgelab.edgecore.edged.verdicts import Verdict, Verdicts, condition
from edgelab.edgecore.edged.views import View
from edgelab.edgecore.interfaces import NoAnswer, Offline, RemoteError

log = logging.getLogger(__name__)
Obj = dict[str, Any]

DELIVERY = 2.0
"""Seconds that the last status may take to reach the cloud before the pod is deleted there."""


class PodWorker:
    """The worker of one pod uid."""

    def __init__(self, kit: Kit, pod: Obj) -> None:
        self._kit = kit
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.removed = False
        self.admitted = False
        self.held = False
        self.gone = asyncio.Event()
        self._wake = asyncio.Event()
        self._wake.set()
        self._syncing: asyncio.Task[None] | None = None
        self._resizer = Resizer(kit.runtime, kit.events)
        self._attempts = Attempts(kit.clock, kit.crashes, kit.events)
        self._verdicts = Verdicts(kit.node.root / "pods")
        self._verdict = self._verdicts.read(self.uid)
        self._failure = (self._verdict.reason, self._verdict.message) if self._verdict else None
        self._halted: int | None = None
        self.stopped = asyncio.Event()
        self._retries = delays(1.0, 10.0, floor=0.8)
        self._next = kit.resync
        self._problem = ""
        self._retry_at: float | None = None
        self._stopped: set[str] = set()

    @property
    def ending(self) -> bool:
        """The pod's deletion was asked for, or it is gone from the API."""
        return self.removed or podspec.terminating(self.pod)

    def update(self, pod: Obj) -> None:
        """Take a newer description."""
        was_ending = self.ending
        self.pod = pod
        self.held = self.held and holding.is_asked_for(pod)
        self._interrupt(was_ending)
        self.wake()

    def remove(self) -> None:
        """The pod is gone from the API: end it and clean up."""
        was_ending, self.removed = self.ending, True
        self._interrupt(was_ending)
        self.wake()

    def fail(self, verdict: Verdict) -> None:
        """End the pod for good as Failed; `stopped` is set when its containers have ended."""
        if self.ending or self._failure:
            return
        self._verdict, self._failure = verdict, (verdict.reason, verdict.message)
        self._verdicts.write(self.uid, verdict)
        if self._syncing is not None:
            self._syncing.cancel()
        self.wake()

    def halt(self, grace: int) -> None:
        """Stop the pod until the next start of EdgeCore, and say nothing of it; `grace` in seconds."""
        self._halted = grace
        if self._syncing is not None:
            self._syncing.cancel()
        self.wake()

    def release(self) -> None:
        """Start what was held back."""
        self.held = False
        self.wake()

    def wake(self) -> None:
        """Something that the pod may have waited for changed: try again now."""
        self._retry_at = None
        self._wake.set()

    def notice(self) -> None:
        """The pod's containers changed: look at them, but not before a failed attempt may be repeated."""
        self._wake.set()

    def _interrupt(self, was_ending: bool) -> None:
        # A deletion must not wait for an image that takes minutes to arrive.
        if self.ending and not was_ending and self._syncing is not None:
            self._syncing.cancel()

    async def run(self) -> None:
        """Work until the pod is gone from the node and from the API."""
        while True:
            await self._wait()
            self._next = self._kit.resync
            try:
                if self.ending:
                    if await self._end():
                        return
                    continue
                async with asyncio.TaskGroup() as group:
                    self._syncing = group.create_task(self._sync(), name=f"pod/{names.key(self.pod)}/sync")
                self._retries = delays(1.0, 10.0, floor=0.8)
            except* (RuntimeUnreachable, CriError, VolumeProblem, ContainerProblem, OSError) as failures:
                self._later(failures)
            except* Exception:  # one pod that nobody foresaw must not end the others
                log.exception("pod %s: unexpected failure; this is a defect", names.key(self.pod))
                self._next = next(self._retries)
            finally:
                self._syncing = None

    async def _wait(self) -> None:
        while True:
            try:
                async with asyncio.timeout(max(0.05, self._next)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if self._retry_at is None:
                return
            self._next = self._retry_at - self._kit.clock.monotonic()
            if self._next <= 0:
                self._retry_at = None
                return

    def _later(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self._next = next(self._retries)
        self._retry_at = self._kit.clock.monotonic() + self._next
        text = sandboxes.IDENTITY.sub("...", str(error))
        if text != self._problem:
            log.warning("pod %s: %s", names.key(self.pod), error)
        self._problem = text

    # Running

    async def _sync(self) -> None:
        kit, pod = self._kit, self.pod
        found = await state.read_pod(kit.runtime, self.uid)
        if self._halted is not None:
            await self._stop(found)
            self.stopped.set()
            return
        if self.held:
            kit.reports.publish(pod, holding.held_status(pod, kit.reports.last(pod), kit.clock.now()))
            return
        self._admit(found)
        self._check_deadline(found)
        self._watch(found)
        current = self._publish(found)
        if current["phase"] in ("Succeeded", "Failed"):
            await self._stop(found)  # its containers stay for their logs, without process and network
            self.stopped.set()
            return
        steps = plan.make(pod, found, self._health())
        plan.restart(steps, self._resizer.restarts(pod, found))
        await self._kill(steps.kill, found)
        if steps.kill:
            found = await state.read_pod(kit.runtime, self.uid)  # with the time at which they ended
        if steps.stop_pod:
            await self._stop(found)
        paths = await self._volumes(found, needed=bool(steps.start))
        if steps.new_sandbox:
            await sandboxes.renew(kit, pod, found, steps.attempt)
            found = await state.read_pod(kit.runtime, self.uid)
        if steps.start and found.sandbox is not None:
            if steps.new_sandbox and podspec.init_containers(pod) == []:
                steps.start = [c for c in steps.start if plan.should_restart(pod, found.container(c["name"]))]
            config = builder.sandbox_config(pod, found.sandbox.attempt, kit.node)
            for spec in steps.start:
                await self._start(spec, found, config, paths)
        await self._resizer.adjust(pod, found, kit.node)
        if steps.kill or steps.stop_pod or steps.new_sandbox or steps.start:
            found = await state.read_pod(kit.runtime, self.uid)
            await cleaning.collect(kit.runtime, found)
            self._watch(found)
            self._publish(found)
            if not self._attempts.waiting and not found.running():
                self._next = min(self._next, 1.0)
        self._problem = ""

    def _admit(self, found: PodState) -> None:
        """Ask once whether the node takes the pod; what runs already was taken before."""
        if self.admitted or self._failure:
            return
        refusal = None if found.sandboxes or found.containers else self._kit.admit(self.pod)
        self.admitted = refusal is None
        if refusal is not None:
            log.warning("pod %s: %s: %s", names.key(self.pod), *refusal)
            self._kit.events.warning(self.pod, *refusal)
            self._failure = (refusal.reason, refusal.message)

    async def _volumes(self, found: PodState, *, needed: bool) -> dict[str, Path]:
        """The pod's volumes; a failing refresh of volumes in use is told, and tried again."""
        try:
            return await self._kit.volumes.set_up(self.pod, self._facts(found))
        except VolumeProblem as problem:
            self._kit.events.warning(self.pod, "FailedMount", str(problem))
            if needed:
                raise
            self._later(problem)
            return {}

    async def _kill(self, kill: list[tuple[Container, str]], found: PodState) -> None:
        kit, pod = self._kit, self.pod
        specs = {spec["name"]: spec for spec in podspec.all_containers(pod)}
        async with asyncio.TaskGroup() as group:
            for container, why in kill:
                log.info("pod %s: %s", names.key(pod), why)
                grace = kit.prober.grace(self.uid, specs[container.name], container)
                kit.prober.forget(self.uid, container.name)
                grace = podspec.grace_seconds(pod) if grace is None else max(1, grace)
                ending = end_containers(self._hand(found), pod, [container], grace, why=why)
                group.create_task(ending, name=f"pod/{names.key(pod)}/kill/{container.name}")

    async def _start(
        self, container: Obj, found: PodState, config: pb.PodSandboxConfig, paths: dict[str, Path]
    ) -> None:
        kit, pod = self._kit, self.pod
        before = found.container(container["name"])
        try:
            self._attempts.begin(pod, container, before)
            await start_container(kit, pod, container, found, config, paths=paths, facts=self._facts(found))
            self._attempts.succeeded(container)
        except ContainerProblem as problem:
            left = self._attempts.failed(pod, container, before, problem, pull=kit.images.retry_at())
            self._next = min(self._next, left)

    def _check_deadline(self, found: PodState) -> None:
        """Fail the pod when activeDeadlineSeconds is over."""
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        start = self._kit.reports.last(self.pod).get("startTime")
        if limit is None or not start or self._failure:
            return
        left = parse_rfc3339(start).timestamp() + int(limit) - self._kit.clock.now().timestamp()
        if left <= 0:
            text = "Pod was active on the node longer than the specified deadline"
            self._failure = ("DeadlineExceeded", text)
            self._kit.events.normal(self.pod, "DeadlineExceeded", text)
        else:
            self._next = min(self._next, left)

    async def _stop(self, found: PodState) -> None:
        """End all containers and release the network of all sandboxes.

        Also of those that are not ready: after a power cut they still hold addresses and host ports.
        """
        self._kit.prober.ending(self.uid)
        grace = podspec.grace_seconds(self.pod)
        shorter = self._verdict.grace if self._verdict else self._halted
        if shorter is not None:
            grace = min(grace, max(1, shorter))
        await end_containers(self._hand(found), self.pod, found.running(), grace)
        self._kit.prober.forget(self.uid)
        for sandbox in found.sandboxes:
            if sandbox.ready or sandbox.id not in self._stopped:
                await self._kit.runtime.stop_sandbox(sandbox.id)
                self._stopped.add(sandbox.id)

    # Ending

    async def _end(self) -> bool:
        """Stop everything, remove it here, then in the API; True when nothing is left to do."""
        kit, pod = self._kit, self.pod
        kit.prober.ending(self.uid)
        found = await state.read_pod(kit.runtime, self.uid)
        if not self.removed and found.containers:
            self._publish(found)
        if found.running():
            await end_containers(self._hand(found), pod, found.running(), podspec.grace_seconds(pod))
            found = await state.read_pod(kit.runtime, self.uid)
        kit.prober.forget(self.uid)
        if found.sandboxes or found.containers:
            if not self.removed:
                self._publish(found, ending=True)
                await kit.reports.delivered(self.uid, DELIVERY)
            await cleaning.erase(kit.runtime, found)
        await kit.volumes.remove(self.uid)
        cgroups.remove(builder.cgroup_parent(pod, kit.node))
        shutil.rmtree(builder.log_directory(pod, kit.node), ignore_errors=True)
        if self.removed:
            kit.reports.forget(self.uid)
            return True
        await self._delete()
        return False

    async def _delete(self) -> None:
        metadata = self.pod["metadata"]
        try:
            await self._kit.meta.delete_pod(metadata["namespace"], metadata["name"], self.uid)
        except (Offline, NoAnswer) as error:
            log.debug("pod %s: its deletion waits for the cloud: %s", names.key(self.pod), error)
            self._next = next(self._retries)
        except RemoteError as error:
            if error.reason != "NotFound":
                self._later(error)

    # Status

    def _hand(self, found: PodState) -> Hand:
        kit = self._kit
        return Hand(kit.runtime, kit.clock, kit.events, next(iter(self._facts(found).pod_ips), ""))

    def _facts(self, found: PodState) -> PodFacts:
        kit = self._kit
        host = [kit.host_ip] if kit.host_ip else []
        ips = host if podspec.host_network(self.pod) else found.ips
        return PodFacts(ips, host, kit.node.name, kit.allocatable)

    def _health(self) -> plan.Health:
        specs = {spec["name"]: spec for spec in podspec.all_containers(self.pod)}
        prober = self._kit.prober
        return plan.Health(
            lambda container: prober.broken(self.uid, specs[container.name], container),
            lambda container: prober.started(self.uid, specs[container.name], container),
        )

    def _watch(self, found: PodState) -> None:
        last, prober = self._kit.reports.last(self.pod), self._kit.prober
        known = [*(last.get("containerStatuses") or []), *(last.get("initContainerStatuses") or [])]
        before = {str(entry.get("containerID")).rpartition("://")[2]: entry for entry in known}
        ip = next(iter(self._facts(found).pod_ips), "")
        for spec in podspec.all_containers(self.pod):
            container = found.container(spec["name"])
            if container is None or not container.running:
                prober.forget(self.uid, spec["name"])
                continue
            entry = before.get(container.id, {})
            started, ready = bool(entry.get("started")), bool(entry.get("ready"))
            prober.watch(self.pod, spec, container, ip, was_started=started, was_ready=ready)

    def _publish(self, found: PodState, *, ending: bool = False) -> Obj:
        kit = self._kit
        before = kit.reports.last(self.pod)
        if before.get("phase") in ("Succeeded", "Failed") and not found.containers:
            return before  # its containers were collected; what is known of their end stays
        view = View(
            pod=self.pod,
            state=found,
            host_ip=kit.host_ip,
            now=kit.clock.now(),
            ready=lambda spec, container: kit.prober.ready(self.uid, spec, container),
            started=lambda spec, container: kit.prober.started(self.uid, spec, container),
            waiting=self._attempts.waiting,
            before=before,
            ending=ending,
            failure=self._failure,
            runtime=kit.runtime_name(),
        )
        made = status.pod_status(view)
        if self._verdict is not None and self._verdict.disrupted:
            made["conditions"].append(condition(self._verdict, before.get("conditions") or [], kit.clock))
        kit.reports.publish(self.pod, made)
        return made
