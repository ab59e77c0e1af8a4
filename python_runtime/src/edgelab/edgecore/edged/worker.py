"""One pod from its first appearance to its end (kubelet `pod_workers.go`, `SyncPod`, `SyncTerminatingPod`).

Receives: the newest description of the pod; older ones are forgotten. Sends: calls to the runtime, the
pod's status, and its deletion when all of it has ended. Stores: files below the pod's directory.
When the runtime is away it tries again; when the cloud is away it goes on with what it has.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock, parse_rfc3339
from edgelab.edgecore.edged import builder, cgroups, names, plan, podspec, state, status
from edgelab.edgecore.edged.ending import Hand, end_containers
from edgelab.edgecore.edged.events import Recorder
from edgelab.edgecore.edged.fields import PodFacts
from edgelab.edgecore.edged.images import Images
from edgelab.edgecore.edged.probes import Prober
from edgelab.edgecore.edged.problems import ContainerProblem, VolumeProblem
from edgelab.edgecore.edged.reports import Reports
from edgelab.edgecore.edged.restarts import Backoff
from edgelab.edgecore.edged.starting import start_container
from edgelab.edgecore.edged.state import Container, PodState
from edgelab.edgecore.edged.volumes import Volumes
from edgelab.edgecore.interfaces import Meta, NoAnswer, Offline, RemoteError

log = logging.getLogger(__name__)
Obj = dict[str, Any]

DELIVERY = 2.0
"""Seconds that the last status may take to reach the cloud before the pod is deleted there."""


IDENTITY = re.compile(r"[0-9a-f]{64}")
"""Ids of sandboxes and containers: they differ from one attempt to the next, the problem does not."""


@dataclass(slots=True)
class Kit:
    """What all pod workers share. `host_ip` and `allocatable` are the node's; `resync` in seconds."""

    runtime: Runtime
    meta: Meta
    clock: Clock
    node: builder.NodeSettings
    volumes: Volumes
    images: Images
    prober: Prober
    reports: Reports
    events: Recorder
    crashes: Backoff
    host_ip: str
    allocatable: dict[str, str]
    resync: float


class PodWorker:
    """The worker of one pod uid."""

    def __init__(self, kit: Kit, pod: Obj) -> None:
        self._kit = kit
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.removed = False
        self._wake = asyncio.Event()
        self._wake.set()
        self._syncing: asyncio.Task[None] | None = None
        self._waiting: dict[str, ContainerProblem] = {}
        self._failure: tuple[str, str] | None = None
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
        self._interrupt(was_ending)
        self.wake()

    def remove(self) -> None:
        """The pod is gone from the API: end it and clean up."""
        was_ending, self.removed = self.ending, True
        self._interrupt(was_ending)
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
            except* (RuntimeUnreachable, CriError, VolumeProblem, OSError) as failures:
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
        text = IDENTITY.sub("...", str(error))
        if text != self._problem:
            log.warning("pod %s: %s", names.key(self.pod), error)
        self._problem = text

    # Running

    async def _sync(self) -> None:
        kit, pod = self._kit, self.pod
        found = await state.read_pod(kit.runtime, self.uid)
        self._check_deadline(found)
        self._watch(found)
        current = self._publish(found)
        if current["phase"] in ("Succeeded", "Failed"):
            await self._stop(found)  # its containers stay for their logs, without process and network
            return
        steps = plan.make(pod, found, self._health())
        for container, reason in steps.kill:
            log.info("pod %s: %s", names.key(pod), reason)
            kit.prober.forget(self.uid, container.name)
            await end_containers(self._hand(found), pod, [container], podspec.grace_seconds(pod))
        if steps.kill:
            found = await state.read_pod(kit.runtime, self.uid)  # with the time at which they ended
        if steps.stop_pod:
            await self._stop(found)
        paths = await self._volumes(found, needed=bool(steps.start))
        if steps.new_sandbox:
            await self._new_sandbox(steps.attempt)
            found = await state.read_pod(kit.runtime, self.uid)
        if steps.start and found.sandbox is not None:
            if steps.new_sandbox and podspec.init_containers(pod) == []:
                steps.start = [c for c in steps.start if plan.should_restart(pod, found.container(c["name"]))]
            config = builder.sandbox_config(pod, found.sandbox.attempt, kit.node)
            for spec in steps.start:
                await self._start(spec, found, config, paths)
        if steps.kill or steps.stop_pod or steps.new_sandbox or steps.start:
            found = await state.read_pod(kit.runtime, self.uid)
            await self._collect(found)
            self._watch(found)
            self._publish(found)
            if not self._waiting and not found.running():
                self._next = min(self._next, 1.0)
        self._problem = ""

    async def _volumes(self, found: PodState, *, needed: bool) -> dict[str, Path]:
        """The pod's volumes; a failing refresh of volumes in use is told, and tried again."""
        try:
            return await self._kit.volumes.set_up(self.pod, self._facts(found))
        except VolumeProblem as problem:
            if needed:
                raise
            self._later(problem)
            return {}

    async def _new_sandbox(self, attempt: int) -> None:
        kit, pod = self._kit, self.pod
        builder.log_directory(pod, kit.node).mkdir(parents=True, exist_ok=True, mode=0o755)
        await kit.runtime.run_sandbox(builder.sandbox_config(pod, attempt, kit.node))

    async def _start(
        self, container: Obj, found: PodState, config: pb.PodSandboxConfig, paths: dict[str, Path]
    ) -> None:
        kit, name = self._kit, container["name"]
        before = found.container(name)
        key = f"{self.uid}/{name}/{names.container_hash(container)}"
        try:
            self._hold_back(container, before, key)
            if before is not None:
                kit.crashes.failed(key)
            await start_container(
                kit, self.pod, container, found, config, paths=paths, facts=self._facts(found)
            )
            self._waiting.pop(name, None)
        except ContainerProblem as problem:
            known = self._waiting.get(name)
            if known is None or known.reason != problem.reason:
                log.warning(
                    "pod %s: container %s: %s: %s", names.key(self.pod), name, problem.reason, problem
                )
            self._waiting[name] = problem
            self._retry(key, before, problem)

    def _hold_back(self, container: Obj, before: Container | None, key: str) -> None:
        """Raise CrashLoopBackOff while a container that ended may not start again yet."""
        if before is None or not before.finished_at:
            return
        left = self._kit.crashes.waiting(key, self._monotonic(before.finished_at))
        if left > 0:
            pod = self.pod["metadata"]
            text = (
                f"back-off {_duration(self._kit.crashes.delay(key))} restarting failed "
                f"container={container['name']} pod={pod['name']}_{pod['namespace']}({self.uid})"
            )
            raise ContainerProblem("CrashLoopBackOff", text)

    def _retry(self, key: str, before: Container | None, problem: ContainerProblem) -> None:
        if problem.reason == "CrashLoopBackOff" and before is not None:
            left = self._kit.crashes.waiting(key, self._monotonic(before.finished_at))
        elif problem.reason == "ErrImagePull":
            left = 1.0  # then the status says ImagePullBackOff
        elif problem.reason == "ImagePullBackOff":
            end = self._kit.images.retry_at()
            left = 10.0 if end is None else end - self._kit.clock.monotonic()
        else:
            left = 10.0
        self._next = min(self._next, max(0.1, left))

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
        else:
            self._next = min(self._next, left)

    async def _stop(self, found: PodState) -> None:
        """End all containers and release the network of all sandboxes.

        Also of those that are not ready: after a power cut they still hold addresses and host ports.
        """
        self._kit.prober.forget(self.uid)
        grace = podspec.grace_seconds(self.pod)
        await end_containers(self._hand(found), self.pod, found.running(), grace)
        for sandbox in found.sandboxes:
            if sandbox.ready or sandbox.id not in self._stopped:
                await self._kit.runtime.stop_sandbox(sandbox.id)
                self._stopped.add(sandbox.id)

    async def _collect(self, found: PodState) -> None:
        """Remove what restarts left behind: of each container the last dead one stays, and its log."""
        kept: set[str] = set()
        for container in found.containers:
            if container.state != state.EXITED:
                continue
            newest = found.container(container.name)
            if container.name not in kept or newest is container:
                kept.add(container.name)
                continue
            await self._kit.runtime.remove_container(container.id)
            if container.log_path:
                remove_log(container.log_path)
        for sandbox in found.sandboxes[1:]:
            if not any(c.sandbox == sandbox.id for c in found.containers):
                await self._kit.runtime.stop_sandbox(sandbox.id)
                await self._kit.runtime.remove_sandbox(sandbox.id)

    # Ending

    async def _end(self) -> bool:
        """Stop everything, remove it here, then in the API; True when nothing is left to do."""
        kit, pod = self._kit, self.pod
        kit.prober.forget(self.uid)
        found = await state.read_pod(kit.runtime, self.uid)
        if not self.removed and found.containers:
            self._publish(found)
        if found.running():
            await end_containers(self._hand(found), pod, found.running(), podspec.grace_seconds(pod))
            found = await state.read_pod(kit.runtime, self.uid)
        if found.sandboxes or found.containers:
            if not self.removed:
                self._publish(found, ending=True)
                await kit.reports.delivered(self.uid, DELIVERY)
            await erase(kit, found)
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
        return Hand(self._kit.runtime, self._kit.clock, next(iter(self._facts(found).pod_ips), ""))

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
        last = self._kit.reports.last(self.pod)
        known = [*(last.get("containerStatuses") or []), *(last.get("initContainerStatuses") or [])]
        ready = {entry.get("containerID") for entry in known if entry.get("ready")}
        ip = next(iter(self._facts(found).pod_ips), "")
        for spec in podspec.all_containers(self.pod):
            container = found.container(spec["name"])
            if container is None or not container.running:
                self._kit.prober.forget(self.uid, spec["name"])
            else:
                was_ready = f"containerd://{container.id}" in ready
                self._kit.prober.watch(self.uid, spec, container, ip, was_ready=was_ready)

    def _publish(self, found: PodState, *, ending: bool = False) -> Obj:
        kit = self._kit
        before = kit.reports.last(self.pod)
        if before.get("phase") in ("Succeeded", "Failed") and not found.containers:
            return before  # its containers were collected; what is known of their end stays
        view = status.View(
            pod=self.pod,
            state=found,
            host_ip=kit.host_ip,
            now=kit.clock.now(),
            ready=lambda spec, container: kit.prober.ready(self.uid, spec, container),
            started=lambda spec, container: kit.prober.started(self.uid, spec, container),
            waiting=self._waiting,
            before=before,
            ending=ending,
            failure=self._failure,
        )
        made = status.pod_status(view)
        kit.reports.publish(self.pod, made)
        return made

    def _monotonic(self, nanoseconds: int) -> float:
        clock = self._kit.clock
        return clock.monotonic() - (clock.now().timestamp() - nanoseconds / 1e9)


async def erase(kit: Kit, found: PodState) -> None:
    """Stop and remove all sandboxes and containers of a pod."""
    for sandbox in found.sandboxes:
        await kit.runtime.stop_sandbox(sandbox.id)
    for container in found.containers:
        await kit.runtime.remove_container(container.id)
    for sandbox in found.sandboxes:
        await kit.runtime.remove_sandbox(sandbox.id)


def remove_log(path: str) -> None:
    """Remove the log of a container that is gone."""
    Path(path).unlink(missing_ok=True)


def _duration(seconds: float) -> str:
    """`10s`, `1m20s`, `5m0s`: as Go prints it."""
    whole = int(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"
