"""A container runtime in memory: sandboxes and containers, and all that was asked of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError
from edgelab.cri.runtime import ExecResult, Runtime
from edgelab.daemon.clock import Clock


class FakeRuntime(Runtime):
    """`changed()` is called when a container ends by itself; `calls` holds what was done, in order.

    `stops`: seconds that a container of that name takes to end after its stop signal.
    `commands`: what a command in a container of that name gives, or raises. `images`: user id by reference.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.changed: Callable[[], None] = lambda: None
        self.calls: list[str] = []
        self.grace: dict[str, int] = {}
        self.stops: dict[str, float] = {}
        self.commands: dict[str, ExecResult | CriError] = {}
        self.refuse_start: dict[str, str] = {}
        self.refuse_update: dict[str, str] = {}
        self.sandboxes: dict[str, pb.PodSandboxStatus] = {}
        self.found: dict[str, pb.ContainerStatus] = {}
        self.configs: dict[str, pb.ContainerConfig] = {}
        self._owner: dict[str, str] = {}
        self._numbers = itertools.count(1)

    # What tests do

    def named(self, name: str) -> pb.ContainerStatus:
        """The newest container of a name."""
        same = [status for status in self.found.values() if status.metadata.name == name]
        return max(same, key=lambda status: status.metadata.attempt)

    def end(self, name: str, code: int = 0) -> None:
        """The newest container of a name ends by itself."""
        self._finish(self.named(name), code)
        self.changed()

    def running(self) -> list[str]:
        return sorted(s.metadata.name for s in self.found.values() if s.state == pb.CONTAINER_RUNNING)

    def lose_sandbox(self) -> None:
        """As after a reboot of the host: everything is there, nothing runs."""
        for sandbox in self.sandboxes.values():
            sandbox.state = pb.SANDBOX_NOTREADY
        for status in self.found.values():
            if status.state == pb.CONTAINER_RUNNING:
                self._finish(status, 255)
        self.changed()

    # What edged asks for

    async def run_sandbox(self, config: pb.PodSandboxConfig, handler: str = "") -> str:
        identity = f"s-{next(self._numbers)}"
        self.calls.append(f"sandbox {config.metadata.attempt}")
        self.sandboxes[identity] = pb.PodSandboxStatus(
            id=identity,
            metadata=config.metadata,
            state=pb.SANDBOX_READY,
            created_at=self._now(),
            network=pb.PodSandboxNetworkStatus(ip="10.0.0.2"),
            labels=config.labels,
        )
        return identity

    async def stop_sandbox(self, sandbox: str) -> None:
        self.calls.append("stop sandbox")
        self.sandboxes[sandbox].state = pb.SANDBOX_NOTREADY
        for identity, owner in self._owner.items():
            if owner == sandbox and self.found[identity].state == pb.CONTAINER_RUNNING:
                self._finish(self.found[identity], 137)

    async def remove_sandbox(self, sandbox: str) -> None:
        self.sandboxes.pop(sandbox, None)

    async def list_sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.PodSandbox]:
        return [
            pb.PodSandbox(
                id=s.id, metadata=s.metadata, state=s.state, created_at=s.created_at, labels=s.labels
            )
            for s in self.sandboxes.values()
            if _match(s.labels, labels)
        ]

    async def sandbox_status(self, sandbox: str) -> pb.PodSandboxStatus:
        return self.sandboxes[sandbox]

    async def create_container(
        self, sandbox: str, config: pb.ContainerConfig, sandbox_config: pb.PodSandboxConfig
    ) -> str:
        identity = f"c-{next(self._numbers)}"
        self.configs[config.metadata.name] = config
        self._owner[identity] = sandbox
        self.found[identity] = pb.ContainerStatus(
            id=identity,
            metadata=config.metadata,
            state=pb.CONTAINER_CREATED,
            created_at=self._now(),
            image=pb.ImageSpec(image=config.image.user_specified_image),
            image_ref=config.image.image,
            labels=config.labels,
            annotations=config.annotations,
            mounts=config.mounts,
        )
        return identity

    async def start_container(self, container: str) -> None:
        status = self.found[container]
        name = status.metadata.name
        self.calls.append(f"start {name}")
        if name in self.refuse_start:
            status.state, status.exit_code, status.finished_at = pb.CONTAINER_EXITED, 128, self._now()
            status.reason = "StartError"
            raise CriError("UNKNOWN", self.refuse_start[name])
        status.state, status.started_at = pb.CONTAINER_RUNNING, self._now()

    async def stop_container(self, container: str, grace: int) -> None:
        status = self.found.get(container)
        if status is None or status.state != pb.CONTAINER_RUNNING:
            return
        name = status.metadata.name
        self.calls.append(f"stop {name}")
        self.grace[name] = grace
        wanted = self.stops.get(name, 0.0)
        await self.clock.sleep(min(wanted, grace))
        self._finish(status, 0 if wanted <= grace else 137)
        self.calls.append(f"ended {name}")

    async def update_resources(self, container: str, resources: pb.LinuxContainerResources) -> None:
        name = self.found[container].metadata.name
        self.calls.append(f"update {name} {resources.cpu_quota} {resources.memory_limit_in_bytes}")
        if name in self.refuse_update:
            raise CriError("UNKNOWN", self.refuse_update[name])

    async def remove_container(self, container: str) -> None:
        self.found.pop(container, None)

    async def list_containers(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.Container]:
        return [
            pb.Container(
                id=s.id, pod_sandbox_id=self._owner[s.id], metadata=s.metadata, state=s.state, labels=s.labels
            )
            for s in self.found.values()
            if _match(s.labels, labels)
        ]

    async def container_status(self, container: str) -> pb.ContainerStatus:
        return self.found[container]

    async def exec_sync(self, container: str, command: Sequence[str], seconds: int) -> ExecResult:
        name = self.found[container].metadata.name
        self.calls.append(f"exec {name} {' '.join(command)}")
        answer = self.commands.get(name, ExecResult(0, b"", b""))
        if isinstance(answer, CriError):
            raise answer
        return answer

    async def image(self, reference: str) -> pb.Image | None:
        return pb.Image(id=f"sha256:{reference}")

    async def pull_image(
        self, reference: str, auth: pb.AuthConfig | None = None, sandbox: pb.PodSandboxConfig | None = None
    ) -> str:
        self.calls.append(f"pull {reference}")
        return f"sha256:{reference}"

    def close(self) -> None:
        pass

    def _finish(self, status: Any, code: int) -> None:
        status.state, status.exit_code = pb.CONTAINER_EXITED, code
        status.finished_at = self._now()
        status.reason = "Completed" if code == 0 else "Error"

    def _now(self) -> int:
        return int(self.clock.now().timestamp() * 1e9)


def _match(labels: Mapping[str, str], wanted: Mapping[str, str] | None) -> bool:
    return all(labels.get(key) == value for key, value in (wanted or {}).items())
