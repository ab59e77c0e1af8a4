"""A CRI service with three sandboxes and no image on a real unix socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grpclib.const import Cardinality, Handler
from grpclib.server import Server, Stream

from edgelab.cri.api import runtime_pb2 as pb

WELL = [pb.RuntimeCondition(type=kind, status=True) for kind in ("RuntimeReady", "NetworkReady")]


class Sandboxes:
    """A runtime that has three sandboxes; the last one is nobody's pod."""

    def __init__(self) -> None:
        self.there = {"s1": "uid-1", "s2": "uid-2", "hand": ""}
        self.calls: list[tuple[str, str]] = []
        self.images: set[str] = set()

    def __mapping__(self) -> dict[str, Handler]:
        one = Cardinality.UNARY_UNARY
        prefix, images = "/runtime.v1.RuntimeService", "/runtime.v1.ImageService"
        return {
            f"{images}/ImageStatus": Handler(self._image, one, pb.ImageStatusRequest, pb.ImageStatusResponse),
            f"{prefix}/Version": self._always(
                pb.VersionRequest,
                pb.VersionResponse(
                    version="0.1.0",
                    runtime_name="containerd",
                    runtime_version="1.7",
                    runtime_api_version="v1",
                ),
            ),
            f"{prefix}/Status": self._always(
                pb.StatusRequest, pb.StatusResponse(status=pb.RuntimeStatus(conditions=WELL))
            ),
            f"{prefix}/ListContainers": self._always(pb.ListContainersRequest, pb.ListContainersResponse()),
            f"{prefix}/ListContainerStats": self._always(
                pb.ListContainerStatsRequest, pb.ListContainerStatsResponse()
            ),
            f"{images}/ListImages": self._always(pb.ListImagesRequest, pb.ListImagesResponse()),
            f"{images}/ImageFsInfo": self._always(pb.ImageFsInfoRequest, pb.ImageFsInfoResponse()),
            f"{images}/PullImage": Handler(self._pull, one, pb.PullImageRequest, pb.PullImageResponse),
            f"{prefix}/ListPodSandbox": Handler(
                self._list, one, pb.ListPodSandboxRequest, pb.ListPodSandboxResponse
            ),
            f"{prefix}/StopPodSandbox": Handler(
                self._stop, one, pb.StopPodSandboxRequest, pb.StopPodSandboxResponse
            ),
            f"{prefix}/RemovePodSandbox": Handler(
                self._remove, one, pb.RemovePodSandboxRequest, pb.RemovePodSandboxResponse
            ),
        }

    def _always(self, request: Any, answer: Any) -> Handler:
        """The same answer to everybody."""

        async def handle(stream: Stream[Any, Any]) -> None:
            await stream.recv_message()
            await stream.send_message(answer)

        return Handler(handle, Cardinality.UNARY_UNARY, request, type(answer))

    async def _image(self, stream: Stream[Any, Any]) -> None:
        name = (await stream.recv_message()).image.image
        known = pb.Image(id=name) if name in self.images else None
        await stream.send_message(pb.ImageStatusResponse(image=known))

    async def _pull(self, stream: Stream[Any, Any]) -> None:
        name = (await stream.recv_message()).image.image
        self.calls.append(("pull", name))
        self.images.add(name)
        await stream.send_message(pb.PullImageResponse(image_ref=name))

    async def _list(self, stream: Stream[Any, Any]) -> None:
        await stream.recv_message()
        items = [
            pb.PodSandbox(
                id=name,
                metadata=pb.PodSandboxMetadata(name=name, namespace="default"),
                labels={"io.kubernetes.pod.uid": uid} if uid else {},
            )
            for name, uid in self.there.items()
        ]
        await stream.send_message(pb.ListPodSandboxResponse(items=items))

    async def _stop(self, stream: Stream[Any, Any]) -> None:
        self.calls.append(("stop", (await stream.recv_message()).pod_sandbox_id))
        await stream.send_message(pb.StopPodSandboxResponse())

    async def _remove(self, stream: Stream[Any, Any]) -> None:
        name = (await stream.recv_message()).pod_sandbox_id
        self.calls.append(("remove", name))
        del self.there[name]
        await stream.send_message(pb.RemovePodSandboxResponse())


@contextmanager
def serve(socket: Path) -> Iterator[Sandboxes]:
    """The service in a thread of its own, as keadm has an event loop of its own."""
    service, loop, ready = Sandboxes(), asyncio.new_event_loop(), threading.Event()

    async def run() -> None:
        server = Server([service])
        await server.start(path=str(socket))
        ready.set()
        await stop.wait()
        server.close()
        await server.wait_closed()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert ready.wait(10)
    yield service
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()
