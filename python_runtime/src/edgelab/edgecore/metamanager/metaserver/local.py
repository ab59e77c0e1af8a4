"""Posts that are for this node itself, and need no cloud (KubeEdge `edge/pkg/metamanager/metaserver`)."""

from __future__ import annotations

import logging
from typing import Protocol

import msgspec

from edgelab.edgecore.metamanager.metaserver.http import Request, Response
from edgelab.objects.status import ApiError

log = logging.getLogger(__name__)

CONFIRM = "/api/v1/taskupgrade/confirm-upgrade"
UNHOLD_POD, UNHOLD_NODE = "/api/v1/pods/unhold-upgrade", "/api/v1/nodes/unhold-upgrade"
TEXT = "text/plain; charset=utf-8"


class Restarter(Protocol):
    """edged as the MetaServer sees it."""

    async def restart_pod(self, namespace: str, name: str) -> None:
        """Stop the pod's containers, so that they start again. Raises LookupError when it is not here."""
        ...

    def release(self, namespace: str = "", name: str = "") -> int:
        """Start the held pod of that name, or with no name all of them; gives how many there were."""
        ...


class Confirmer(Protocol):
    """TaskManager as the MetaServer sees it."""

    def confirm(self) -> int:
        """Let the jobs go on that wait for somebody who agrees; how many there were."""
        ...


class LocalPosts:
    """Serves them."""

    def __init__(self) -> None:
        self.pods: Restarter | None = None
        """edged; None while it is off."""
        self.jobs: Confirmer | None = None
        """TaskManager; None while it is off."""

    async def serve(self, request: Request) -> Response | None:
        """The answer; None for a request that is none of these. Raises ApiError."""
        parts = request.path.strip("/").split("/")
        if request.path in (UNHOLD_POD, UNHOLD_NODE) and request.method == "POST":
            return self._release(request)
        if request.path == CONFIRM and request.method == "POST":
            return self._confirm()
        if parts[:3] != ["api", "v1", "namespaces"] or len(parts) < 6 or parts[4] != "pods":
            return None
        if request.method == "POST" and len(parts) == 6 and parts[5] == "restart":
            return await self._restart(parts[3], request)
        if len(parts) == 7 and parts[6] in ("log", "exec", "attach", "portforward"):
            raise ApiError(
                501,
                f"MetaServer has no {parts[6]}: use `keadm ctl` on this node, or kubectl through the cloud",
                reason="NotImplemented",
            )
        return None

    def _confirm(self) -> Response:
        if self.jobs is None or not self.jobs.confirm():
            return Response(400, b"there are no valid upgrade tasks to execute\n", TEXT)
        return Response(200, b"", TEXT)

    def _release(self, request: Request) -> Response:
        """The body is `namespace/name` of a pod, or the name of this node."""
        if self.pods is None:
            raise ApiError(503, "modules.edged is off: no pods run on this node")
        given = request.body.decode(errors="replace").strip().strip('"')
        namespace, slash, name = given.partition("/")
        if request.path == UNHOLD_NODE:
            self.pods.release()
        elif not slash or not name:
            raise ApiError(400, f"the body must be namespace/name of a pod, not {given!r}")
        elif not self.pods.release(namespace, name):
            raise ApiError(404, f"pod {given} is not held on this node", reason="NotFound")
        return Response(200, b"", TEXT)

    async def _restart(self, namespace: str, request: Request) -> Response:
        try:
            names = msgspec.json.decode(request.body, type=list[str])
        except msgspec.DecodeError as error:
            raise ApiError(400, f"the body is no JSON array of pod names: {error}") from None
        if self.pods is None:
            raise ApiError(503, "modules.edged is off: no pods run on this node")
        errors, done = [], []
        for name in names:
            try:
                await self.pods.restart_pod(namespace, name)
            except LookupError:
                errors.append(f'not found pod:"/{namespace}/{name}"')
            except Exception as error:  # the next pod is to be restarted all the same
                log.warning("pod %s/%s could not be restarted: %s", namespace, name, error)
                errors.append(f'the pod "{namespace}/{name}" restart failed: {error}')
            else:
                done.append(f'the pod "{namespace}/{name}" restart successful')
        return Response(200, msgspec.json.encode({"errMessages": errors, "LogMessages": done}))
