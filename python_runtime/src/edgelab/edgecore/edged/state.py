"""What the runtime runs, by pod: read back from labels and annotations, so that it survives a restart."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError
from edgelab.cri.runtime import Runtime
from edgelab.edgecore.edged import names

CREATED, RUNNING = pb.CONTAINER_CREATED, pb.CONTAINER_RUNNING
EXITED, UNKNOWN = pb.CONTAINER_EXITED, pb.CONTAINER_UNKNOWN


@dataclass(slots=True)
class Sandbox:
    """One sandbox; times in nanoseconds since 1970."""

    id: str
    attempt: int
    ready: bool
    created_at: int
    ips: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Container:
    """One container as the runtime reports it; times in nanoseconds since 1970, 0 when not yet.

    `grace`: the seconds that its pod gives it to end, kept with it for the time when the pod is gone.
    `resources`: the mark of the limits that it was started with (`names.resources_mark`).
    """

    id: str
    name: str
    sandbox: str
    state: int
    created_at: int
    started_at: int
    finished_at: int
    exit_code: int
    image: str
    image_ref: str
    reason: str
    message: str
    hash: str
    restarts: int
    message_path: str
    log_path: str
    log_fallback: bool = False
    grace: int = 30
    resources: str = ""

    @property
    def running(self) -> bool:
        """The process is there."""
        return self.state == RUNNING


@dataclass(slots=True)
class PodState:
    """Everything the runtime has of one pod, newest first."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: list[Sandbox] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)

    @property
    def sandbox(self) -> Sandbox | None:
        """The newest sandbox."""
        return self.sandboxes[0] if self.sandboxes else None

    def container(self, name: str) -> Container | None:
        """The newest container of that name."""
        return next((container for container in self.containers if container.name == name), None)

    def earlier(self, name: str) -> Container | None:
        """The container that the newest one of that name replaced."""
        same = [container for container in self.containers if container.name == name]
        return same[1] if len(same) > 1 else None

    def running(self) -> list[Container]:
        """All running containers."""
        return [container for container in self.containers if container.running]

    @property
    def ips(self) -> list[str]:
        """Addresses of the newest sandbox while it is ready."""
        return list(self.sandbox.ips) if self.sandbox and self.sandbox.ready else []


def just_started(identity: str, name: str) -> Container:
    """A container that was started a moment ago and of which nothing else is known."""
    return Container(
        id=identity,
        name=name,
        sandbox="",
        state=RUNNING,
        created_at=0,
        started_at=0,
        finished_at=0,
        exit_code=0,
        image="",
        image_ref="",
        reason="",
        message="",
        hash="",
        restarts=0,
        message_path="",
        log_path="",
    )


async def read_pod(runtime: Runtime, uid: str) -> PodState:
    """The state of one pod. Raises RuntimeUnreachable and CriError."""
    chosen = {names.POD_UID: uid}
    state = PodState(uid)
    for item in await runtime.list_sandboxes(chosen):
        state.name, state.namespace = item.metadata.name, item.metadata.namespace
        with contextlib.suppress(CriError):  # gone since the list was made
            state.sandboxes.append(await _sandbox(runtime, item))
    for entry in await runtime.list_containers(chosen):
        try:
            status = await runtime.container_status(entry.id)
        except CriError as error:
            if error.not_found:
                continue
            raise
        state.containers.append(_container(status, entry.pod_sandbox_id))
        state.name = state.name or entry.labels.get(names.POD_NAME, "")
        state.namespace = state.namespace or entry.labels.get(names.POD_NAMESPACE, "")
    state.sandboxes.sort(key=lambda s: (s.attempt, s.created_at), reverse=True)
    state.containers.sort(key=lambda c: (c.restarts, c.created_at), reverse=True)
    return state


async def _sandbox(runtime: Runtime, item: pb.PodSandbox) -> Sandbox:
    ready = item.state == pb.SANDBOX_READY
    ips: list[str] = []
    if ready:
        status = await runtime.sandbox_status(item.id)
        network = status.network
        ips = [ip for ip in (network.ip, *(more.ip for more in network.additional_ips)) if ip]
    return Sandbox(item.id, item.metadata.attempt, ready, item.created_at, ips)


def _container(status: pb.ContainerStatus, sandbox: str) -> Container:
    notes = status.annotations
    path = notes.get(names.MESSAGE_PATH, "")
    message_path = next((m.host_path for m in status.mounts if path and m.container_path == path), "")
    restarts, grace = notes.get(names.RESTART_COUNT, ""), notes.get(names.POD_GRACE, "")
    return Container(
        id=status.id,
        name=status.labels.get(names.CONTAINER_NAME, status.metadata.name),
        sandbox=sandbox,
        state=status.state,
        created_at=status.created_at,
        started_at=status.started_at,
        finished_at=status.finished_at,
        exit_code=status.exit_code,
        image=status.image.image,
        image_ref=status.image_ref,
        reason=status.reason,
        message=status.message,
        hash=notes.get(names.HASH, ""),
        restarts=int(restarts) if restarts.isdigit() else status.metadata.attempt,
        message_path=message_path,
        log_path=status.log_path,
        grace=int(grace) if grace.isdigit() else 30,
        resources=notes.get(names.RESOURCES, ""),
        log_fallback=notes.get(names.MESSAGE_POLICY) == "FallbackToLogsOnError",
    )
