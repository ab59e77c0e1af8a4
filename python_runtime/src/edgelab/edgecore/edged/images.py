"""Images: pulled when the policy asks for it, one or a few at a time, with growing delays after a failure.

Kubelet `pkg/kubelet/images`: reasons, messages and events are its own, because users search for them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import credentials, names, podspec
from edgelab.edgecore.edged.events import Recorder
from edgelab.edgecore.edged.problems import ContainerProblem
from edgelab.edgecore.edged.restarts import Backoff
from edgelab.edgecore.interfaces import Meta, NoAnswer, Offline, PullFailed, RemoteError

log = logging.getLogger(__name__)
Obj = dict[str, Any]

_WORD = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST = (
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::\d+)?"
)
REFERENCE = re.compile(
    rf"(?:(?:{_HOST}|\[[0-9a-fA-F:]+\](?::\d+)?)/)?{_WORD}(?:/{_WORD})*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)
"""An image's name with tag and digest (distribution `reference/regexp.go`)."""


class PullRate:
    """registryPullQPS and registryBurst: pulls beyond them fail at once, as the kubelet has it."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate, self._burst, self._clock = rate, max(1, burst), clock
        self._left, self._at = float(self._burst), clock.monotonic()

    def allows(self) -> bool:
        """Take one pull if there is one; a rate of 0 means no limit."""
        now = self._clock.monotonic()
        self._left = min(float(self._burst), self._left + (now - self._at) * self._rate)
        self._at = now
        if self._rate <= 0:
            return True
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Images:
    """The image service as pods need it. `parallel` pulls run at a time."""

    def __init__(
        self,
        runtime: Runtime,
        meta: Meta,
        clock: Clock,
        *,
        parallel: int,
        events: Recorder | None = None,
        rate: PullRate | None = None,
    ) -> None:
        self._runtime = runtime
        self._meta = meta
        self._clock = clock
        self._gate = asyncio.Semaphore(parallel)
        self._events = events
        self._rate = rate
        self._backoff = Backoff(clock)
        self._failures: dict[str, str] = {}

    async def ensure(self, pod: Obj, container: Obj, sandbox: pb.PodSandboxConfig) -> pb.Image:
        """The container's image, pulled if need be. Raises ContainerProblem."""
        image, policy = str(container.get("image", "")), podspec.pull_policy(container)
        tell = _Teller(self._events, pod, container)
        if problem := invalid(image):
            text = f'Failed to apply default image tag "{image}": '
            text += f'couldn\'t parse image name "{image}": {problem}'
            tell.warning("InspectFailed", text)
            raise ContainerProblem("InvalidImageName", text)
        reference = podspec.image_of(container)
        present = await self._runtime.image(reference)
        if present is not None and policy != "Always":
            tell.normal("Pulled", f'Container image "{image}" already present on machine')
            return present
        if policy == "Never":
            text = f'Container image "{image}" is not present with pull policy of Never'
            tell.warning("ErrImageNeverPull", text)
            raise ContainerProblem("ErrImageNeverPull", text)
        key = f"{names.uid(pod)}_{image}"
        if self._backoff.waiting(key):
            text = f'Back-off pulling image "{image}"'
            tell.normal("BackOff", text)
            raise ContainerProblem("ImagePullBackOff", f"{text}: {self._failures.get(key, 'ErrImagePull')}")
        pulled = await self._pull(pod, image, reference, sandbox, tell)
        self._backoff.forget(key)
        self._failures.pop(key, None)
        return pulled

    async def fetch(self, image: str, secret: str) -> None:
        """Have an image that no pod asks for yet; one that is here is pulled again only if it is `latest`.

        `secret` is `namespace/name` or empty. Raises PullFailed."""
        if problem := invalid(image):
            raise PullFailed(f"{image!r}: {problem}")
        container, (namespace, _, name) = {"image": image}, secret.partition("/")
        reference = podspec.image_of(container)
        wanted = [{"name": name}] if name else []
        asks = {"metadata": {"namespace": namespace}, "spec": {"imagePullSecrets": wanted}}
        try:
            if podspec.pull_policy(container) == "Always" or await self._runtime.image(reference) is None:
                await self._try(asks, reference, None)
        except CriError as error:
            raise PullFailed(error.message) from None
        except RuntimeUnreachable as error:
            raise PullFailed(str(error)) from None

    def retry_at(self) -> float | None:
        """When (monotonic) the next pull may be tried; None when none waits."""
        return self._backoff.next_end()

    async def _pull(
        self, pod: Obj, image: str, reference: str, sandbox: pb.PodSandboxConfig, tell: _Teller
    ) -> pb.Image:
        began = self._clock.monotonic()
        tell.normal("Pulling", f'Pulling image "{image}"')
        try:
            took = await self._try(pod, reference, sandbox)
            pulled = await self._runtime.image(reference)
            if pulled is None:
                raise CriError("NOT_FOUND", f'image "{reference}" is not there after it was pulled')
        except CriError as error:
            key = f"{names.uid(pod)}_{image}"
            self._backoff.failed(key)
            self._failures[key] = f"ErrImagePull: {error.message}"
            tell.warning("Failed", f'Failed to pull image "{image}": {error.message}')
            raise ContainerProblem("ErrImagePull", error.message) from None
        waited = self._clock.monotonic() - began
        tell.normal(
            "Pulled",
            f'Successfully pulled image "{image}" in {_time(took)} ({_time(waited)} including waiting). '
            f"Image size: {pulled.size} bytes.",
        )
        return pulled

    async def _try(self, pod: Obj, reference: str, sandbox: pb.PodSandboxConfig | None) -> float:
        """Pull with each credential in turn; the seconds that the one which worked took."""
        failure = CriError("RESOURCE_EXHAUSTED", "pull QPS exceeded")
        if self._rate is not None and not self._rate.allows():
            raise failure
        found = await self._credentials(pod, reference)
        async with self._gate:
            for auth in found or [None]:
                began = self._clock.monotonic()
                try:
                    await self._runtime.pull_image(reference, auth, sandbox)
                except CriError as error:
                    failure = error
                else:
                    return self._clock.monotonic() - began
        raise failure

    async def _credentials(self, pod: Obj, reference: str) -> list[pb.AuthConfig | None]:
        """Those of the pod's secrets that fit; without any the image is pulled as anybody."""
        found: list[pb.AuthConfig | None] = []
        for item in pod["spec"].get("imagePullSecrets") or []:
            name = item.get("name") or ""
            try:
                secret = await self._meta.secret(pod["metadata"]["namespace"], name)
                found += credentials.matching(secret, reference)
            except (RemoteError, Offline, NoAnswer, ValueError) as error:
                text = (
                    f"Unable to retrieve some image pull secrets ({name}); "
                    "attempting to pull the image may not succeed."
                )
                log.debug("%s: %s: %s", reference, text, error)
                if self._events is not None and "name" in pod["metadata"]:
                    self._events.warning(pod, "FailedToRetrieveImagePullSecret", text)
        return found


class _Teller:
    """Events about one container."""

    def __init__(self, events: Recorder | None, pod: Obj, container: Obj) -> None:
        self._events, self._pod = events, pod
        kind = "containers" if container in podspec.containers(pod) else "initContainers"
        self._field = f"spec.{kind}{{{container.get('name', '')}}}"

    def normal(self, reason: str, message: str) -> None:
        """As it should be."""
        if self._events is not None:
            self._events.normal(self._pod, reason, message, field=self._field)

    def warning(self, reason: str, message: str) -> None:
        """Something to look at."""
        if self._events is not None:
            self._events.warning(self._pod, reason, message, field=self._field)


def invalid(image: str) -> str:
    """What is wrong with an image's name, in Docker's words; empty when nothing is."""
    if REFERENCE.fullmatch(image):
        return ""
    if REFERENCE.fullmatch(image.lower()):
        return "invalid reference format: repository name must be lowercase"
    return "invalid reference format"


def _time(seconds: float) -> str:
    """`850ms`, `1.2s`, `2m3.4s`: as Go prints a duration rounded to milliseconds."""
    milli = round(seconds * 1000)
    if milli < 1000:
        return f"{milli}ms"
    minutes, rest = divmod(milli, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{text}s" if minutes else f"{text}s"
