"""The CRI client against a gRPC server on a real unix socket, and its errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.errors import Fatal


class FakeService:
    """Answers what `answers` holds for a method, or raises it; of a list the next one each time."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.requests: list[Any] = []

    def __mapping__(self) -> dict[str, Handler]:
        kinds = {
            "RuntimeService/Version": (pb.VersionRequest, pb.VersionResponse),
            "RuntimeService/Status": (pb.StatusRequest, pb.StatusResponse),
            "RuntimeService/RunPodSandbox": (pb.RunPodSandboxRequest, pb.RunPodSandboxResponse),
            "RuntimeService/StopContainer": (pb.StopContainerRequest, pb.StopContainerResponse),
            "RuntimeService/ListContainers": (pb.ListContainersRequest, pb.ListContainersResponse),
            "ImageService/ImageStatus": (pb.ImageStatusRequest, pb.ImageStatusResponse),
        }
        return {
            f"/runtime.v1.{name}": Handler(self._serve(name), Cardinality.UNARY_UNARY, request, answer)
            for name, (request, answer) in kinds.items()
        }

    def _serve(self, name: str) -> Any:
        async def serve(stream: Stream[Any, Any]) -> None:
            self.requests.append(await stream.recv_message())
            answer = self.answers[name]
            if isinstance(answer, list):
                answer = answer.pop(0)
            if isinstance(answer, Exception):
                raise answer
            await stream.send_message(answer)

        return serve


@asynccontextmanager
async def serving(path: Path, service: FakeService) -> AsyncIterator[None]:
    server = Server([service])
    await server.start(path=str(path))
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    runtime = Runtime(f"unix://{tmp_path}/r.sock", deadline=2)
    yield runtime
    runtime.close()


async def test_missing_socket_is_named_and_found_when_it_appears(tmp_path: Path, runtime: Runtime) -> None:
    with pytest.raises(RuntimeUnreachable, match=r"r\.sock does not exist \(is containerd installed"):
        await runtime.version()
    service = FakeService()
    service.answers["RuntimeService/Version"] = pb.VersionResponse(runtime_name="x", runtime_version="1")
    async with serving(tmp_path / "r.sock", service):
        assert (await runtime.version()).runtime_name == "x"


async def test_readiness_names_what_is_not_ready(tmp_path: Path, runtime: Runtime) -> None:
    service = FakeService()
    network = pb.RuntimeCondition(
        type="NetworkReady", reason="NetworkPluginNotReady", message="cni plugin not initialized"
    )
    conditions = [pb.RuntimeCondition(type="RuntimeReady", status=True), network]
    service.answers["RuntimeService/Status"] = pb.StatusResponse(
        status=pb.RuntimeStatus(conditions=conditions)
    )
    async with serving(tmp_path / "r.sock", service):
        found = await runtime.readiness()
    assert (found.runtime, found.network) == (True, False)
    assert found.problem == (
        "container runtime network not ready: NetworkReady=false "
        "reason:NetworkPluginNotReady message:cni plugin not initialized"
    )


async def test_error_answers_keep_their_code(tmp_path: Path, runtime: Runtime) -> None:
    service = FakeService()
    service.answers["RuntimeService/ListContainers"] = GRPCError(Status.INTERNAL, "disk full")
    service.answers["RuntimeService/StopContainer"] = GRPCError(Status.NOT_FOUND, "no such container")
    async with serving(tmp_path / "r.sock", service):
        with pytest.raises(CriError, match="disk full") as caught:
            await runtime.list_containers()
        assert caught.value.code == "INTERNAL"
        await runtime.stop_container("gone", 1)  # what is gone has stopped


@pytest.mark.parametrize(
    "words",
    [
        "failed to generate seccomp spec opts: seccomp is not supported",  # containerd 1.6 and 1.7
        "seccomp is not enabled, cannot run with a profile",  # CRI-O
    ],
)
async def test_a_sandbox_goes_without_seccomp_where_there_is_none(
    tmp_path: Path, runtime: Runtime, words: str
) -> None:
    service = FakeService()
    service.answers["RuntimeService/RunPodSandbox"] = [
        GRPCError(Status.UNKNOWN, words),
        pb.RunPodSandboxResponse(pod_sandbox_id="s1"),
    ]
    config = pb.PodSandboxConfig(metadata=pb.PodSandboxMetadata(name="web"))
    config.linux.security_context.seccomp.profile_type = pb.SecurityProfile.RuntimeDefault
    async with serving(tmp_path / "r.sock", service):
        assert await runtime.run_sandbox(config) == "s1"
    asked = [request.config.linux.security_context.seccomp.profile_type for request in service.requests]
    assert asked == [pb.SecurityProfile.RuntimeDefault, pb.SecurityProfile.Unconfined]
    assert [request.config.metadata.name for request in service.requests] == ["web", "web"]


async def test_a_sandbox_that_is_refused_for_anything_else_is_not_tried_again(
    tmp_path: Path, runtime: Runtime
) -> None:
    service = FakeService()
    service.answers["RuntimeService/RunPodSandbox"] = GRPCError(Status.UNKNOWN, "failed to get network")
    async with serving(tmp_path / "r.sock", service):
        with pytest.raises(CriError, match="failed to get network"):
            await runtime.run_sandbox(pb.PodSandboxConfig())
    assert len(service.requests) == 1


async def test_absent_image_is_none(tmp_path: Path, runtime: Runtime) -> None:
    service = FakeService()
    service.answers["ImageService/ImageStatus"] = pb.ImageStatusResponse()
    async with serving(tmp_path / "r.sock", service):
        assert await runtime.image("x") is None
    assert service.requests[0].image.image == "x"


def test_endpoint_that_is_no_unix_socket_is_refused() -> None:
    with pytest.raises(Fatal, match="tcp://1"):
        Runtime("tcp://1.2.3.4:5")
