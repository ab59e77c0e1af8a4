"""Liveness, readiness and startup probes (kubelet `pkg/kubelet/prober`).

One task per probe of a running container. A changed result wakes the pod's worker; nothing else
is sent. Stores nothing: after a restart of EdgeCore the probes begin anew, and a container that was
ready before counts as ready until a probe says otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.edged.state import Container

Obj = dict[str, Any]

LIVENESS, READINESS, STARTUP = "livenessProbe", "readinessProbe", "startupProbe"
KINDS = (STARTUP, LIVENESS, READINESS)

HOOK_LIMIT = 120.0
"""Seconds that a postStart hook may take."""


@dataclass(slots=True)
class Watched:
    """One container under observation. None means: no result yet."""

    container: Container
    spec: Obj
    ip: str
    results: dict[str, bool | None]
    message: str = ""
    tasks: tuple[asyncio.Task[None], ...] = ()


class Prober:
    """The probes of all pods. `wake(uid)` is called when a result changes."""

    def __init__(self, runtime: Runtime, clock: Clock, wake: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._clock = clock
        self._wake = wake
        self._tasks = Supervisor("probes")
        self._watched: dict[tuple[str, str], Watched] = {}

    def watch(self, uid: str, spec: Obj, container: Container, ip: str, *, was_ready: bool) -> None:
        """Probe a running container; repeated calls for the same one change nothing."""
        key = (uid, spec["name"])
        known = self._watched.get(key)
        if known is not None and known.container.id == container.id:
            return
        self.forget(uid, spec["name"])
        wanted = [kind for kind in KINDS if spec.get(kind)]
        if not wanted:
            return
        adopted: bool | None = True if was_ready else None
        watched = Watched(container, spec, ip, {kind: adopted for kind in wanted if kind != LIVENESS})
        watched.results.setdefault(LIVENESS, True)
        watched.tasks = tuple(
            self._tasks.spawn(self._probe(uid, watched, kind), f"{uid}/{spec['name']}/{kind}")
            for kind in wanted
        )
        self._watched[key] = watched

    def forget(self, uid: str, name: str = "") -> None:
        """Stop probing a container, or with an empty name the whole pod."""
        for key in [key for key in self._watched if key[0] == uid and name in ("", key[1])]:
            for task in self._watched.pop(key).tasks:
                task.cancel()

    def started(self, uid: str, spec: Obj, container: Container | None) -> bool:
        """Running, and past its startup probe."""
        if container is None or not container.running:
            return False
        watched = self._of(uid, spec, container)
        return not spec.get(STARTUP) or (watched is not None and watched.results.get(STARTUP) is True)

    def ready(self, uid: str, spec: Obj, container: Container | None) -> bool:
        """Started, and its readiness probe succeeds."""
        if not self.started(uid, spec, container):
            return False
        watched = self._of(uid, spec, container)
        return not spec.get(READINESS) or (watched is not None and watched.results.get(READINESS) is True)

    def broken(self, uid: str, spec: Obj, container: Container) -> str:
        """Why the container must be restarted; empty while it is well."""
        watched = self._of(uid, spec, container)
        if watched is None:
            return ""
        for kind, word in ((STARTUP, "startup"), (LIVENESS, "liveness")):
            if spec.get(kind) and watched.results.get(kind) is False:
                return f"Container {spec['name']} failed {word} probe, will be restarted"
        return ""

    async def close(self) -> None:
        """Stop all probes."""
        await self._tasks.close()

    def _of(self, uid: str, spec: Obj, container: Container | None) -> Watched | None:
        watched = self._watched.get((uid, spec["name"]))
        same = watched is not None and container is not None and watched.container.id == container.id
        return watched if same else None

    async def _probe(self, uid: str, watched: Watched, kind: str) -> None:
        probe = watched.spec[kind]
        period = float(probe.get("periodSeconds") or 10)
        age = max(0.0, self._clock.now().timestamp() - watched.container.started_at / 1e9)
        await self._clock.sleep(max(0.0, float(probe.get("initialDelaySeconds") or 0) - age))
        streak, last = 0, None
        while True:
            if kind == STARTUP or watched.results.get(STARTUP, True) is True:
                good = await self._once(watched, probe)
                streak = streak + 1 if good == last else 1
                last = good
                needed = int(
                    probe.get("successThreshold" if good else "failureThreshold") or (1 if good else 3)
                )
                if streak >= needed and watched.results.get(kind) is not good:
                    watched.results[kind] = good
                    self._wake(uid)
                if kind == STARTUP and (
                    (good is False and streak >= needed) or watched.results[kind] is True
                ):
                    return
            await self._clock.sleep(period)

    async def _once(self, watched: Watched, probe: Obj) -> bool:
        limit = float(probe.get("timeoutSeconds") or 1)
        try:
            return await check(
                self._runtime, watched.spec, watched.container, probe, ip=watched.ip, limit=limit
            )
        except CriError:
            return False
        except RuntimeUnreachable:
            return watched.results.get(LIVENESS) is not False  # not the container's fault


async def check(
    runtime: Runtime, spec: Obj, container: Container, action: Obj, *, ip: str, limit: float
) -> bool:
    """Do one probe or hook action; `limit` in seconds. Raises CriError when the command cannot be run."""
    if "exec" in action:
        command = action["exec"].get("command") or []
        result = await runtime.exec_sync(container.id, command, max(1, round(limit)))
        return result.exit_code == 0
    try:
        async with asyncio.timeout(limit):
            if "httpGet" in action:
                return 200 <= await http_status(action["httpGet"], spec, ip) < 400
            if "tcpSocket" in action:
                target = action["tcpSocket"]
                _, writer = await asyncio.open_connection(
                    target.get("host") or ip, port_number(target["port"], spec)
                )
                writer.close()
                return True
    except (OSError, TimeoutError, ValueError, IndexError, asyncio.IncompleteReadError):
        return False
    return True  # a kind of probe that this node does not know must not end a container


async def http_status(target: Obj, spec: Obj, ip: str) -> int:
    """The status of a GET request as probes make it. Raises OSError, ValueError."""
    host, port = target.get("host") or ip, port_number(target["port"], spec)
    context = None
    if str(target.get("scheme") or "HTTP").upper() == "HTTPS":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # probes do not verify, as in the kubelet
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/1.32", "Accept": "*/*"}
        headers |= {item["name"]: item["value"] for item in target.get("httpHeaders") or []}
        path = target.get("path") or "/"
        path = path if path.startswith("/") else f"/{path}"
        lines = [f"GET {path} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items())]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        status_line = await reader.readline()
        return int(status_line.split()[1])
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


def port_number(port: int | str, spec: Obj) -> int:
    """A port by number or by its name in the container. Raises ValueError."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for entry in spec.get("ports") or []:
        if entry.get("name") == port:
            return int(entry["containerPort"])
    raise ValueError(f"container {spec['name']} has no port {port!r}")
