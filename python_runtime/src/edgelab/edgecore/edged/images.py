"""Images: pulled when the policy asks for it, one at a time, with growing delays after a failure.

Kubelet `pkg/kubelet/images`: reasons and messages are its own, because users search for them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import podspec
from edgelab.edgecore.edged.problems import ContainerProblem
from edgelab.edgecore.edged.restarts import Backoff
from edgelab.edgecore.interfaces import Meta, NoAnswer, Offline, RemoteError

Obj = dict[str, Any]


class Images:
    """The image service as pods need it."""

    def __init__(self, runtime: Runtime, meta: Meta, clock: Clock, *, parallel: int) -> None:
        self._runtime = runtime
        self._meta = meta
        self._gate = asyncio.Semaphore(parallel)
        self._backoff = Backoff(clock)

    async def ensure(self, pod: Obj, container: Obj, sandbox: pb.PodSandboxConfig) -> pb.Image:
        """The container's image, pulled if need be. Raises ContainerProblem."""
        reference, policy = podspec.image_of(container), podspec.pull_policy(container)
        present = await self._runtime.image(reference)
        if present is not None and policy != "Always":
            return present
        if policy == "Never":
            raise ContainerProblem(
                "ErrImageNeverPull", f'Container image "{reference}" is not present with pull policy of Never'
            )
        key = f"{pod['metadata']['uid']}/{reference}"
        if self._backoff.waiting(key):
            raise ContainerProblem("ImagePullBackOff", f'Back-off pulling image "{reference}"')
        try:
            await self._pull(pod, reference, sandbox)
        except CriError as error:
            self._backoff.failed(key)
            if error.code == "INVALID_ARGUMENT" or "invalid reference" in error.message:
                text = f'Failed to apply default image tag "{reference}": {error.message}'
                raise ContainerProblem("InvalidImageName", text) from None
            raise ContainerProblem("ErrImagePull", error.message) from None
        self._backoff.forget(key)
        pulled = await self._runtime.image(reference)
        if pulled is None:
            raise ContainerProblem("ErrImagePull", f'image "{reference}" is not there after it was pulled')
        return pulled

    def retry_at(self) -> float | None:
        """When (monotonic) the next pull may be tried; None when none waits."""
        return self._backoff.next_end()

    async def _pull(self, pod: Obj, reference: str, sandbox: pb.PodSandboxConfig) -> None:
        failure: CriError | None = None
        async with self._gate:
            for auth in [*await self._credentials(pod, reference), None]:
                try:
                    await self._runtime.pull_image(reference, auth, sandbox)
                except CriError as error:
                    failure = error
                else:
                    return
        if failure is not None:
            raise failure

    async def _credentials(self, pod: Obj, reference: str) -> list[pb.AuthConfig]:
        found: list[pb.AuthConfig] = []
        for item in pod["spec"].get("imagePullSecrets") or []:
            with contextlib.suppress(RemoteError, Offline, NoAnswer, ValueError, KeyError):
                secret = await self._meta.secret(pod["metadata"]["namespace"], item["name"])
                found += _matching(secret, registry_of(reference))
        return found


def registry_of(reference: str) -> str:
    """The registry's host of an image name; Docker Hub when it names none."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first
    return "docker.io"


def _matching(secret: Obj, registry: str) -> list[pb.AuthConfig]:
    data = secret.get("data") or {}
    if ".dockerconfigjson" in data:
        entries = json.loads(base64.b64decode(data[".dockerconfigjson"])).get("auths") or {}
    elif ".dockercfg" in data:
        entries = json.loads(base64.b64decode(data[".dockercfg"]))
    else:
        return []
    result = []
    for server, entry in entries.items():
        host = server.partition("://")[2] or server
        host = host.split("/")[0].replace("index.docker.io", "docker.io")
        if host != registry:
            continue
        user, password = entry.get("username", ""), entry.get("password", "")
        if not user and entry.get("auth"):
            user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        result.append(pb.AuthConfig(username=user, password=password, server_address=server))
    return result
