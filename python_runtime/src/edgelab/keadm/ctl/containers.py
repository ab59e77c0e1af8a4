"""Logs of containers and commands in them, by the container runtime alone."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from edgelab.keadm.report import Failure

if TYPE_CHECKING:
    from edgelab.cri.api import runtime_pb2 as pb
    from edgelab.cri.runtime import Runtime
    from edgelab.settings.edgecore import EdgeCore

T = TypeVar("T")

NAME, NAMESPACE = "io.kubernetes.pod.name", "io.kubernetes.pod.namespace"
CONTAINER = "io.kubernetes.container.name"


@dataclass(frozen=True, slots=True)
class Target:
    """A container of a pod; without a name the only one."""

    namespace: str
    pod: str
    container: str = ""


def logs(node: EdgeCore, target: Target, query: str) -> None:
    """Write a log to standard output; `query` holds the parameters of a kubelet's. Raises Failure."""
    asyncio.run(_with(node, lambda runtime: _logs(runtime, target, query)))


def execute(node: EdgeCore, target: Target, command: list[str], seconds: int) -> int:
    """Run a command, write what it wrote; its exit status. Raises Failure."""
    return asyncio.run(_with(node, lambda runtime: _execute(runtime, target, command, seconds)))


async def _with(node: EdgeCore, work: Callable[[Runtime], Awaitable[T]]) -> T:
    from edgelab.cri.choice import connect
    from edgelab.cri.errors import CriError, RuntimeUnreachable

    config = node.modules.edged.tailoredKubeletConfig
    runtime = connect(config.containerRuntimeEndpoint, config.image_endpoint, kind=node.edgelab.runtimeType)
    try:
        return await work(runtime)
    except (CriError, RuntimeUnreachable) as error:
        raise Failure(str(error)) from None
    finally:
        runtime.close()


async def _found(runtime: Runtime, target: Target) -> list[pb.Container]:
    """The target's containers, the newest first. Raises Failure."""
    labels = {NAME: target.pod, NAMESPACE: target.namespace}
    there = await runtime.list_containers(labels)
    if not there:
        raise Failure(f"pod {target.namespace}/{target.pod} has no containers on this node")
    names = sorted({item.labels[CONTAINER] for item in there})
    wanted = target.container or (names[0] if len(names) == 1 else "")
    if wanted not in names:
        said = f"there is no container {wanted!r}" if wanted else "it has several containers"
        raise Failure(f"pod {target.namespace}/{target.pod}: {said}; -c names one of {', '.join(names)}")
    chosen = [item for item in there if item.labels[CONTAINER] == wanted]
    return sorted(chosen, key=lambda item: item.created_at, reverse=True)


async def _execute(runtime: Runtime, target: Target, command: list[str], seconds: int) -> int:
    from edgelab.cri.api import runtime_pb2 as pb

    for item in await _found(runtime, target):
        if item.state == pb.CONTAINER_RUNNING:
            done = await runtime.exec_sync(item.id, command, seconds)
            sys.stdout.buffer.write(done.stdout)
            sys.stderr.buffer.write(done.stderr)
            return int(done.exit_code)
    raise Failure(f"pod {target.namespace}/{target.pod}: the container does not run")


async def _logs(runtime: Runtime, target: Target, query: str) -> None:
    from edgelab.daemon.clock import SYSTEM
    from edgelab.edgecore.edged.streams.options import log_options
    from edgelab.edgecore.kubelet import Refused

    try:
        wanted = log_options(query, SYSTEM.now())
    except Refused as error:
        raise Failure(str(error)) from None
    found = await _found(runtime, target)
    if wanted.previous and len(found) < 2:
        raise Failure(f"pod {target.namespace}/{target.pod}: there is no container before this one")
    async for piece in await _read(runtime, found[1 if wanted.previous else 0].id, wanted):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


async def _read(runtime: Runtime, container: str, wanted: object) -> AsyncIterator[bytes]:
    from pathlib import Path

    from edgelab.cri.api import runtime_pb2 as pb
    from edgelab.cri.errors import CriError
    from edgelab.daemon.clock import SYSTEM
    from edgelab.edgecore.edged.streams.logfile import LogFile, read_log
    from edgelab.edgecore.edged.streams.options import LogOptions

    assert isinstance(wanted, LogOptions)
    path = (await runtime.container_status(container)).log_path
    try:
        file = LogFile(Path(path))
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}") from None

    async def runs() -> bool:
        try:
            return (await runtime.container_status(container)).state == pb.CONTAINER_RUNNING
        except CriError:
            return False

    return read_log(file, wanted, runs, SYSTEM)
