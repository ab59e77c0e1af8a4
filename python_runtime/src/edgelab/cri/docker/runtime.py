"""Docker as `edgelab.cri.runtime.Runtime`, as dockershim drove it until Kubernetes 1.24.

What Docker cannot do and a CRI runtime can: a command that ran out of time goes on; logs are rotated by
Docker itself, by the limits that containers are created with; pods get Docker's own bridge network.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.client import Client
from edgelab.cri.docker import bodies, execution, naming, reading
from edgelab.cri.docker.http import Engine
from edgelab.cri.docker.images import DockerImages
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.joining import Joining
from edgelab.cri.runtime import ExecResult, Readiness, Runtime

log = logging.getLogger(__name__)

T = TypeVar("T")
Obj = dict[str, Any]

QUICK = 10.0
SANDBOX_GRACE = 10


class DockerRuntime(Runtime):
    """Docker behind `endpoint`; `pause` is the image of sandboxes, `log_options` are json-file's."""

    def __init__(
        self, endpoint: str, *, pause: str, log_options: dict[str, str], deadline: float = 120.0
    ) -> None:
        self._client = self._images = _Unserved(endpoint)
        self._deadline = deadline
        self._engine = Engine(endpoint)
        self._store = DockerImages(self._engine, deadline)
        self._pause = pause
        self._log_options = log_options

    @property
    def joining(self) -> Joining:
        """Docker has no streaming server."""
        from edgelab.cri.docker.joining import DockerJoining  # noqa: PLC0415 - only once somebody asks

        return DockerJoining(self._engine, self._deadline)

    async def version(self) -> pb.VersionResponse:
        """Docker's version."""
        found = await self._engine.call("GET", "/version", deadline=QUICK)
        return pb.VersionResponse(
            version="0.1.0",
            runtime_name="docker",
            runtime_version=found["Version"],
            runtime_api_version=found["ApiVersion"],
        )

    async def readiness(self) -> Readiness:
        """A Docker that answers is ready, and so is its network."""
        await self._engine.call("GET", "/info", deadline=QUICK)
        return Readiness(True, True, "")

    async def cgroup_driver(self) -> str:
        """Docker's own."""
        found = await self._engine.call("GET", "/info", deadline=QUICK)
        return str(found.get("CgroupDriver", ""))

    # -- sandboxes

    async def run_sandbox(self, config: pb.PodSandboxConfig, handler: str = "") -> str:
        """Create and start a sandbox; gives its id. The pause image is pulled when it is missing."""
        if handler:
            raise CriError("INVALID_ARGUMENT", f"Docker has no runtime handler {handler!r}")
        if await self._store.inspect(self._pause) is None:
            await self._store.pull(self._pause, None)
        about = config.metadata
        name = naming.Name(naming.SANDBOX_NAME, about.name, about.namespace, about.uid, about.attempt)
        identity = await self._create(name, bodies.sandbox(config, self._pause))
        try:
            await self._start(identity)
        except CriError:
            with contextlib.suppress(CriError):  # what it was for matters more
                await self.remove_sandbox(identity)
            raise
        return identity

    async def stop_sandbox(self, sandbox: str) -> None:
        """Stop everything in a sandbox, then itself."""
        for member in await self._list({naming.SANDBOX_ID: sandbox}, naming.CONTAINER, _as_is):
            if member["State"] == "running":
                await self.stop_container(member["Id"], SANDBOX_GRACE)
        await self.stop_container(sandbox, SANDBOX_GRACE)

    async def remove_sandbox(self, sandbox: str) -> None:
        """Remove a sandbox with its containers."""
        for member in await self._list({naming.SANDBOX_ID: sandbox}, naming.CONTAINER, _as_is):
            await self.remove_container(member["Id"])
        await self._remove(sandbox)

    async def list_sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.PodSandbox]:
        """All sandboxes that carry `labels`."""
        return await self._list(labels or {}, naming.SANDBOX, reading.sandbox)

    async def sandbox_status(self, sandbox: str) -> pb.PodSandboxStatus:
        """One sandbox with its network."""
        found = await self._inspect(sandbox)
        return reading.sandbox_status(found, _named(found), reading.addresses(found))

    # -- containers

    async def create_container(
        self, sandbox: str, config: pb.ContainerConfig, sandbox_config: pb.PodSandboxConfig
    ) -> str:
        """Create a container in a sandbox; gives its id."""
        pod = sandbox_config.metadata
        name = naming.Name(config.metadata.name, pod.name, pod.namespace, pod.uid, config.metadata.attempt)
        return await self._create(name, bodies.container(sandbox, config, sandbox_config, self._log_options))

    async def start_container(self, container: str) -> None:
        """Start a created container; its log appears where the kubelet's would."""
        try:
            await self._start(container)
        finally:
            with contextlib.suppress(CriError, RuntimeUnreachable):
                reading.link_log(await self._inspect(container))

    async def stop_container(self, container: str, grace: int) -> None:
        """Send the stop signal, and SIGKILL after `grace` seconds; returns when it has stopped."""
        with _gone_is_fine():
            await self._engine.call(
                "POST",
                f"/containers/{container}/stop",
                query={"t": str(grace)},
                deadline=grace + self._deadline,
            )

    async def update_resources(self, container: str, resources: pb.LinuxContainerResources) -> None:
        """Change the limits of a running container."""
        await self._post(f"/containers/{container}/update", bodies.limits(resources))

    async def remove_container(self, container: str) -> None:
        """Remove a container; not being there is fine."""
        await self._remove(container)

    async def list_containers(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.Container]:
        """All containers, running or not, that carry `labels`."""
        return await self._list(labels or {}, naming.CONTAINER, reading.container)

    async def container_status(self, container: str) -> pb.ContainerStatus:
        """One container with its times and exit code."""
        found = await self._inspect(container)
        return reading.container_status(found, _named(found), await self._store.inspect(found["Image"]))

    async def reopen_log(self, container: str) -> None:
        """Docker rotates its logs itself."""
        raise CriError("UNIMPLEMENTED", "Docker rotates the logs of containers itself")

    async def exec_sync(self, container: str, command: Sequence[str], seconds: int) -> ExecResult:
        """Run a command in a container for `seconds` at most (then CriError DEADLINE_EXCEEDED)."""
        return await execution.run(self._engine, container, command, seconds, self._deadline)

    async def stats(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.ContainerStats]:
        """CPU and memory usage of the running containers that carry `labels`."""
        items = await self._list(labels or {}, naming.CONTAINER, _as_is, size=True)
        running = [item for item in items if item["State"] == "running"]
        found = await asyncio.gather(*(self._usage(item["Id"]) for item in running))
        return [
            reading.stats(item, name, usage)
            for item, usage in zip(running, found, strict=True)
            if usage is not None and (name := reading.name_of(item)) is not None
        ]

    # -- images

    async def image(self, reference: str) -> pb.Image | None:
        """The image that is here under this reference or id; None when there is none."""
        found = await self._store.inspect(reference)
        return None if found is None else reading.image(found)

    async def images(self) -> Sequence[pb.Image]:
        """All images."""
        return await self._store.all()

    async def pull_image(
        self, reference: str, auth: pb.AuthConfig | None = None, sandbox: pb.PodSandboxConfig | None = None
    ) -> str:
        """Pull an image; gives its id."""
        return await self._store.pull(reference, auth)

    async def remove_image(self, reference: str) -> None:
        """Remove an image."""
        await self._store.remove(reference)

    async def image_filesystems(self) -> Sequence[pb.FilesystemUsage]:
        """Where images are kept, and how much they take."""
        root = (await self._engine.call("GET", "/info", deadline=QUICK))["DockerRootDir"]
        used = await self._engine.call("GET", "/system/df", deadline=self._deadline)
        usage = pb.FilesystemUsage(timestamp=time.time_ns(), fs_id=pb.FilesystemIdentifier(mountpoint=root))
        usage.used_bytes.value = used.get("LayersSize") or 0
        return [usage]

    def close(self) -> None:
        """Nothing is kept open."""

    # -- Docker

    async def _post(self, path: str, body: Obj | None = None) -> Any:
        return await self._engine.call("POST", path, body, deadline=self._deadline)

    async def _create(self, name: naming.Name, body: Obj) -> str:
        """Create under `name`; a leftover of an earlier attempt that has it goes first."""
        query = {"name": str(name)}
        for _ in range(2):
            try:
                created = await self._engine.call(
                    "POST", "/containers/create", body, query=query, deadline=self._deadline
                )
            except CriError as error:
                if error.code != "FAILED_PRECONDITION" or "already in use" not in error.message:
                    raise
                log.info("%s was created before and not used; it goes", name)
                await self._remove(str(name))
            else:
                for warning in created.get("Warnings") or []:
                    log.debug("%s: %s", name, warning)
                return str(created["Id"])
        raise CriError("ALREADY_EXISTS", f"a container {name} is there already and cannot be removed")

    async def _start(self, identity: str) -> None:
        await self._post(f"/containers/{identity}/start")

    async def _remove(self, identity: str) -> None:
        query = {"force": "1", "v": "1"}
        with _gone_is_fine():
            await self._engine.call("DELETE", f"/containers/{identity}", query=query, deadline=self._deadline)

    async def _inspect(self, identity: str) -> Obj:
        found = await self._engine.call("GET", f"/containers/{identity}/json", deadline=self._deadline)
        return dict(found)

    async def _list(
        self,
        labels: Mapping[str, str],
        kind: str,
        read: Callable[[Obj, naming.Name], T],
        *,
        size: bool = False,
    ) -> list[T]:
        wanted = [f"{key}={value}" for key, value in {**labels, naming.TYPE: kind}.items()]
        query = {
            "all": "1",
            "size": "1" if size else "",
            "filters": msgspec.json.encode({"label": wanted}).decode(),
        }
        items = await self._engine.call("GET", "/containers/json", query=query, deadline=self._deadline)
        return [read(item, name) for item in items if (name := reading.name_of(item)) is not None]

    async def _usage(self, identity: str) -> Obj | None:
        query = {"stream": "0", "one-shot": "1"}
        try:
            found = await self._engine.call(
                "GET", f"/containers/{identity}/stats", query=query, deadline=self._deadline
            )
        except CriError as error:
            if error.not_found or error.code == "FAILED_PRECONDITION":  # ended since the list was made
                return None
            raise
        return dict(found)


class _Unserved(Client):
    """Stands where CRI's connection is: what Docker has no counterpart of is refused by name."""

    async def call(self, method: str, request: Any, answer: type[T], deadline: float) -> T:
        raise CriError("UNIMPLEMENTED", f"Docker does not serve {method}")


@contextlib.contextmanager
def _gone_is_fine() -> Any:
    try:
        yield
    except CriError as error:
        if not error.not_found:
            raise


def _as_is(item: Obj, _name: naming.Name) -> Obj:
    return item


def _named(found: Obj) -> naming.Name:
    name = naming.parse(found["Name"])
    if name is None:
        raise CriError("NOT_FOUND", f"container {found['Id']} was not made by EdgeCore")
    return name
