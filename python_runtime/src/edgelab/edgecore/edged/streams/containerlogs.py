"""`/containerLogs`: whose log is meant, and whether there can be one (kubelet `kubelet_pods.go`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged.streams import containers
from edgelab.edgecore.edged.streams.logfile import LogFile, read_log
from edgelab.edgecore.edged.streams.options import log_options
from edgelab.edgecore.kubelet import Answer, Refused, Request

Obj = dict[str, Any]


class ContainerLogs:
    """Answers with logs of `runtime`'s containers."""

    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock

    async def get(self, request: Request, pod: Obj, name: str) -> Answer:
        """The log of one container. Raises Refused, RuntimeUnreachable, CriError."""
        wanted = log_options(request.query, self._clock.now())
        pod_name = pod["metadata"]["name"]
        if name not in containers.names_in(pod):
            raise Refused(404, f"container {name!r} not found in pod {pod_name!r}".replace("'", '"'))
        found = await containers.of(self._runtime, pod, name)
        if wanted.previous:
            if len(found) < 2:
                raise Refused(400, f'previous terminated container "{name}" in pod "{pod_name}" not found')
            container = found[1]
        elif not found or found[0].state == pb.CONTAINER_CREATED:
            raise Refused(400, f'container "{name}" in pod "{pod_name}" is waiting to start')
        else:
            container = found[0]
        path = (await self._runtime.container_status(container.id)).log_path
        try:
            file = LogFile(Path(path))
        except OSError:
            raise Refused(404, f"unable to retrieve container logs for {container.id}") from None

        async def runs() -> bool:
            try:
                status = await self._runtime.container_status(container.id)
            except CriError:
                return False
            return status.state == pb.CONTAINER_RUNNING

        return Answer(read_log(file, wanted, runs, self._clock))
