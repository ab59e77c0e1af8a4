"""Which runtime is driven: CRI over gRPC, or the Docker Engine API. The other one is never imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelab.settings.kubelet import CONTAINERD

if TYPE_CHECKING:
    from edgelab.cri.runtime import Runtime

DOCKER = "docker"
DOCKER_SOCKET = "unix:///var/run/docker.sock"
PAUSE = "kubeedge/pause:3.6"


def is_docker(kind: str, endpoint: str) -> bool:
    """Whether Docker is meant: `runtimeType: docker`, or an endpoint that is Docker's socket."""
    return kind == DOCKER or endpoint.rpartition("/")[2] == "docker.sock"


def connect(
    endpoint: str,
    images: str = "",
    *,
    kind: str = "",
    pause: str = PAUSE,
    log_size: int = 10 << 20,
    log_files: int = 5,
    deadline: float = 120.0,
) -> Runtime:
    """The runtime behind `endpoint`; nothing is sent yet. Raises Fatal for an endpoint that is no socket.

    `pause`, `log_size` (bytes) and `log_files` matter to Docker only: a CRI runtime has its own pause
    image, and its logs are rotated by edged.
    """
    if is_docker(kind, endpoint):
        from edgelab.cri.docker.runtime import DockerRuntime  # noqa: PLC0415 - only when chosen

        options = {"max-size": str(log_size), "max-file": str(max(1, log_files))}
        socket = DOCKER_SOCKET if endpoint in ("", CONTAINERD) else endpoint
        return DockerRuntime(socket, pause=pause, log_options=options, deadline=deadline)
    from edgelab.cri.runtime import Runtime  # noqa: PLC0415 - only when chosen

    return Runtime(endpoint, images, deadline=deadline)
