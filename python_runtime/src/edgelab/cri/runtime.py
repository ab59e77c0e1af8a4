"""The container runtime as EdgeCore uses it: sandboxes, containers, images, usage.

Messages are CRI's own (`edgelab.cri.api.runtime_pb2`). Every method raises `RuntimeUnreachable` when
nobody answers on the socket and `CriError` when the runtime refuses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.client import Client
from edgelab.cri.errors import CriError
from edgelab.cri.joining import Joining

PULL_DEADLINE = 3600.0
"""Seconds for an image pull: large images over slow links take long, and a retry starts again."""

RUNTIME_READY, NETWORK_READY = "RuntimeReady", "NetworkReady"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether pods can run: an empty `problem` means yes, otherwise it is a sentence for people."""

    runtime: bool
    network: bool
    problem: str


@dataclass(frozen=True, slots=True)
class ExecResult:
    """Outcome of a command in a container."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Runtime:
    """A CRI v1 runtime. `deadline` (seconds) bounds every call that has no time of its own."""

    def __init__(self, endpoint: str, image_endpoint: str = "", *, deadline: float = 120.0) -> None:
        self._client = Client(endpoint)
        same = not image_endpoint or image_endpoint == endpoint
        self._images = self._client if same else Client(image_endpoint)
        self._deadline = deadline

    @property
    def joining(self) -> Joining | None:
        """How commands, attaches and ports are reached without a streaming server; None where one is."""
        return None

    async def version(self) -> pb.VersionResponse:
        """Name and version of the runtime."""
        return await self._client.call(
            "RuntimeService/Version", pb.VersionRequest(version="0.1.0"), pb.VersionResponse, 10.0
        )

    async def readiness(self) -> Readiness:
        """The runtime's own conditions, with its reason when one is not met."""
        answer = await self._client.call("RuntimeService/Status", pb.StatusRequest(), pb.StatusResponse, 10.0)
        found = {condition.type: condition for condition in answer.status.conditions}
        problems = [
            f"{what} not ready: {kind}=false reason:{c.reason} message:{c.message}"
            for kind, what in (
                (RUNTIME_READY, "container runtime"),
                (NETWORK_READY, "container runtime network"),
            )
            if (c := found.get(kind)) is not None and not c.status
        ]
        runtime, network = (
            bool(kind in found and found[kind].status) for kind in (RUNTIME_READY, NETWORK_READY)
        )
        return Readiness(runtime, network, "; ".join(problems))

    async def cgroup_driver(self) -> str:
        """`cgroupfs` or `systemd`, as the runtime says itself; empty when it does not.

        Runtimes that do not serve RuntimeConfig (containerd before 2.0) are asked for their configuration.
        """
        try:
            answer = await self._client.call(
                "RuntimeService/RuntimeConfig", pb.RuntimeConfigRequest(), pb.RuntimeConfigResponse, 10.0
            )
            if answer.HasField("linux"):
                return "systemd" if answer.linux.cgroup_driver == pb.SYSTEMD else "cgroupfs"
        except CriError:
            pass
        try:
            status = await self._client.call(
                "RuntimeService/Status", pb.StatusRequest(verbose=True), pb.StatusResponse, 10.0
            )
        except CriError:
            return ""
        return _driver_of_containerd(status.info.get("config", ""))

    # -- sandboxes

    async def run_sandbox(self, config: pb.PodSandboxConfig, handler: str = "") -> str:
        """Create and start a sandbox; gives its id. Where there is no seccomp it goes without.

        What runs in a sandbox itself is a program that waits, so this gives nothing away. A container that
        asks for a profile is refused by the runtime there.
        """
        try:
            return await self._run_sandbox(config, handler)
        except CriError as error:
            if not error.lacks_seccomp:
                raise
        unconfined = pb.PodSandboxConfig()
        unconfined.CopyFrom(config)
        unconfined.linux.security_context.seccomp.profile_type = pb.SecurityProfile.Unconfined
        return await self._run_sandbox(unconfined, handler)

    async def _run_sandbox(self, config: pb.PodSandboxConfig, handler: str) -> str:
        request = pb.RunPodSandboxRequest(config=config, runtime_handler=handler)
        # Setting up the pod's network may take as long as the slowest CNI plugin.
        answer = await self._client.call(
            "RuntimeService/RunPodSandbox", request, pb.RunPodSandboxResponse, max(self._deadline, 240.0)
        )
        return answer.pod_sandbox_id

    async def stop_sandbox(self, sandbox: str) -> None:
        """Stop everything in a sandbox and release its network."""
        request = pb.StopPodSandboxRequest(pod_sandbox_id=sandbox)
        await self._do("StopPodSandbox", request, pb.StopPodSandboxResponse)

    async def remove_sandbox(self, sandbox: str) -> None:
        """Remove a stopped sandbox with its containers."""
        request = pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox)
        await self._do("RemovePodSandbox", request, pb.RemovePodSandboxResponse)

    async def list_sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.PodSandbox]:
        """All sandboxes that carry `labels`."""
        request = pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(label_selector=labels))
        answer = await self._client.call(
            "RuntimeService/ListPodSandbox", request, pb.ListPodSandboxResponse, self._deadline
        )
        return answer.items

    async def sandbox_status(self, sandbox: str) -> pb.PodSandboxStatus:
        """One sandbox with its network."""
        answer = await self._client.call(
            "RuntimeService/PodSandboxStatus",
            pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox),
            pb.PodSandboxStatusResponse,
            self._deadline,
        )
        return answer.status

    # -- containers

    async def create_container(
        self, sandbox: str, config: pb.ContainerConfig, sandbox_config: pb.PodSandboxConfig
    ) -> str:
        """Create a container in a sandbox; gives its id."""
        request = pb.CreateContainerRequest(
            pod_sandbox_id=sandbox, config=config, sandbox_config=sandbox_config
        )
        answer = await self._client.call(
            "RuntimeService/CreateContainer", request, pb.CreateContainerResponse, self._deadline
        )
        return answer.container_id

    async def start_container(self, container: str) -> None:
        """Start a created container."""
        request = pb.StartContainerRequest(container_id=container)
        await self._do("StartContainer", request, pb.StartContainerResponse)

    async def stop_container(self, container: str, grace: int) -> None:
        """Send the stop signal, and SIGKILL after `grace` seconds; returns when it has stopped."""
        request = pb.StopContainerRequest(container_id=container, timeout=grace)
        await self._do("StopContainer", request, pb.StopContainerResponse, grace + self._deadline)

    async def update_resources(self, container: str, resources: pb.LinuxContainerResources) -> None:
        """Change the limits of a running container."""
        request = pb.UpdateContainerResourcesRequest(container_id=container, linux=resources)
        await self._do("UpdateContainerResources", request, pb.UpdateContainerResourcesResponse)

    async def remove_container(self, container: str) -> None:
        """Remove a container; not being there is fine."""
        request = pb.RemoveContainerRequest(container_id=container)
        await self._do("RemoveContainer", request, pb.RemoveContainerResponse)

    async def list_containers(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.Container]:
        """All containers, running or not, that carry `labels`."""
        request = pb.ListContainersRequest(filter=pb.ContainerFilter(label_selector=labels))
        answer = await self._client.call(
            "RuntimeService/ListContainers", request, pb.ListContainersResponse, self._deadline
        )
        return answer.containers

    async def container_status(self, container: str) -> pb.ContainerStatus:
        """One container with its times and exit code."""
        answer = await self._client.call(
            "RuntimeService/ContainerStatus",
            pb.ContainerStatusRequest(container_id=container),
            pb.ContainerStatusResponse,
            self._deadline,
        )
        return answer.status

    async def reopen_log(self, container: str) -> None:
        """Make the runtime write to a new log file after the old one was renamed."""
        request = pb.ReopenContainerLogRequest(container_id=container)
        await self._do("ReopenContainerLog", request, pb.ReopenContainerLogResponse)

    async def exec_sync(self, container: str, command: Sequence[str], seconds: int) -> ExecResult:
        """Run a command in a container for `seconds` at most (then CriError DEADLINE_EXCEEDED)."""
        request = pb.ExecSyncRequest(container_id=container, cmd=command, timeout=seconds)
        answer = await self._client.call(
            "RuntimeService/ExecSync",
            request,
            pb.ExecSyncResponse,
            seconds + 2.0 if seconds else self._deadline,
        )
        return ExecResult(answer.exit_code, answer.stdout, answer.stderr)

    async def exec_url(
        self, container: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        """Where the runtime's streaming server runs a command, once, for whoever comes soon."""
        request = pb.ExecRequest(
            container_id=container, cmd=command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr
        )
        answer = await self._client.call("RuntimeService/Exec", request, pb.ExecResponse, self._deadline)
        return str(answer.url)

    async def attach_url(self, container: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        """Where the streaming server joins a container's own process."""
        request = pb.AttachRequest(container_id=container, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        answer = await self._client.call("RuntimeService/Attach", request, pb.AttachResponse, self._deadline)
        return str(answer.url)

    async def port_forward_url(self, sandbox: str, ports: Sequence[int]) -> str:
        """Where the streaming server connects to ports inside a sandbox."""
        request = pb.PortForwardRequest(pod_sandbox_id=sandbox, port=ports)
        answer = await self._client.call(
            "RuntimeService/PortForward", request, pb.PortForwardResponse, self._deadline
        )
        return str(answer.url)

    async def stats(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.ContainerStats]:
        """CPU, memory and disk usage of the running containers that carry `labels`."""
        request = pb.ListContainerStatsRequest(filter=pb.ContainerStatsFilter(label_selector=labels))
        answer = await self._client.call(
            "RuntimeService/ListContainerStats", request, pb.ListContainerStatsResponse, self._deadline
        )
        return answer.stats

    # -- images

    async def image(self, reference: str) -> pb.Image | None:
        """The image that is here under this reference or id; None when there is none."""
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=reference))
        answer = await self._images.call(
            "ImageService/ImageStatus", request, pb.ImageStatusResponse, self._deadline
        )
        return answer.image if answer.HasField("image") and answer.image.id else None

    async def images(self) -> Sequence[pb.Image]:
        """All images."""
        answer = await self._images.call(
            "ImageService/ListImages", pb.ListImagesRequest(), pb.ListImagesResponse, self._deadline
        )
        return answer.images

    async def pull_image(
        self, reference: str, auth: pb.AuthConfig | None = None, sandbox: pb.PodSandboxConfig | None = None
    ) -> str:
        """Pull an image; gives the reference by which the runtime knows it."""
        request = pb.PullImageRequest(image=pb.ImageSpec(image=reference), auth=auth, sandbox_config=sandbox)
        answer = await self._images.call(
            "ImageService/PullImage", request, pb.PullImageResponse, PULL_DEADLINE
        )
        return answer.image_ref

    async def remove_image(self, reference: str) -> None:
        """Remove an image."""
        await self._images.call(
            "ImageService/RemoveImage",
            pb.RemoveImageRequest(image=pb.ImageSpec(image=reference)),
            pb.RemoveImageResponse,
            self._deadline,
        )

    async def image_filesystems(self) -> Sequence[pb.FilesystemUsage]:
        """Where images are kept, and how much they take."""
        answer = await self._images.call(
            "ImageService/ImageFsInfo", pb.ImageFsInfoRequest(), pb.ImageFsInfoResponse, self._deadline
        )
        return answer.image_filesystems

    def close(self) -> None:
        """Drop the connections."""
        self._client.close()
        self._images.close()

    async def _do(self, name: str, request: object, answer: type[object], deadline: float = 0.0) -> None:
        """A call without a result; a thing that is not there any more counts as done."""
        try:
            await self._client.call(f"RuntimeService/{name}", request, answer, deadline or self._deadline)
        except CriError as error:
            if not (error.not_found and name.startswith(("Stop", "Remove"))):
                raise


def _driver_of_containerd(text: str) -> str:
    """The driver in containerd's configuration, as its verbose Status shows it; empty when it does not."""
    try:
        found = json.loads(text)["containerd"]
        options = found["runtimes"][found.get("defaultRuntimeName") or "runc"].get("options") or {}
        return "systemd" if options.get("SystemdCgroup") else "cgroupfs"
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
