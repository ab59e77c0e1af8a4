"""What `keadm diagnose node` asks of the container runtime, and pods that nobody knows any more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelab.keadm.diagnose_findings import Finding, failed, ok, unknown, warning

if TYPE_CHECKING:
    from edgelab.cri.runtime import Runtime

READY, IMAGE, LEFTOVERS = "EDGE-RUNTIME-READY", "EDGE-SANDBOX-IMAGE", "EDGE-LEFTOVERS"
CODES = (READY, IMAGE, LEFTOVERS)
POD_UID = "io.kubernetes.pod.uid"
DEADLINE = 10.0
SHOWN = 5


def diagnose_runtime(settings: Any) -> list[Finding]:
    """The three checks that take the runtime's API."""
    from edgelab.cri.errors import CriError, RuntimeUnreachable

    try:
        return asyncio.run(_ask(settings))
    except (RuntimeUnreachable, CriError, TimeoutError) as error:
        fix = "systemctl restart containerd; `journalctl -u containerd -n 20`"
        return [failed(READY, str(error), fix), *unknown(CODES[1:], "the container runtime does not answer")]


async def _ask(settings: Any) -> list[Finding]:
    from edgelab.cri.choice import connect

    edged = settings.modules.edged
    kubelet = edged.tailoredKubeletConfig
    runtime = connect(
        kubelet.containerRuntimeEndpoint,
        kubelet.image_endpoint,
        kind=settings.edgelab.runtimeType,
        pause=edged.podSandboxImage,
        deadline=DEADLINE,
    )
    try:
        async with asyncio.timeout(2 * DEADLINE):
            return [
                await _ready(runtime),
                await _image(runtime, edged.podSandboxImage),
                *await _leftovers(runtime, Path(settings.database.dataSource), Path(edged.rootDirectory)),
            ]
    finally:
        runtime.close()


async def _ready(runtime: Runtime) -> Finding:
    state = await runtime.readiness()
    if state.runtime and state.network:
        return ok(READY, "runtime and network are ready")
    part = "the network" if state.runtime else "the runtime"
    fix = (
        "run site.yml --tags cni; a CNI configuration must be in the runtime's conf_dir"
        if state.runtime
        else "journalctl -u containerd -n 50"
    )
    return failed(READY, f"{part} is not ready: {state.problem}", fix)


async def _image(runtime: Runtime, reference: str) -> Finding:
    if await runtime.image(reference):
        return ok(IMAGE, f"{reference} is on the node")
    fix = (
        "run site.yml --tags containerd_images (without a registry), or set edgecore_sandbox_image and "
        "containerd_sandbox_image to one that can be pulled"
    )
    return failed(IMAGE, "is not on the node: no pod starts until it was pulled", fix, reference)


async def _leftovers(runtime: Runtime, database: Path, root: Path) -> list[Finding]:
    known = known_pods(database)
    if known is None:
        return unknown(
            (LEFTOVERS,), f"{database} cannot be read, so it is not known which pods there should be"
        )
    findings = []
    for sandbox in await runtime.list_sandboxes():
        uid = sandbox.labels.get(POD_UID, "")
        if uid not in known:
            pod = f"{sandbox.metadata.namespace}/{sandbox.metadata.name}"
            text = f"sandbox {sandbox.id[:13]} of {pod}, which EdgeCore does not know"
            fix = f"`crictl rmp -f {sandbox.id[:13]}`; the name stays taken until then"
            findings.append(warning(LEFTOVERS, text, fix, pod))
    pods = root / "pods"
    for folder in sorted(pods.iterdir()) if pods.is_dir() else []:
        if folder.name not in known:
            fix = f"see that nothing is mounted there (`findmnt | grep {folder.name}`), then remove it"
            findings.append(warning(LEFTOVERS, "directory of a pod that is gone", fix, str(folder)))
    more = len(findings) - SHOWN
    if more > 0:
        rest = warning(LEFTOVERS, f"{more} more of them", "restart EdgeCore, which cleans up what it made")
        return [*findings[:SHOWN], rest]
    return findings or [ok(LEFTOVERS, f"nothing is left of pods that are gone; {len(known)} pods")]


def known_pods(database: Path) -> set[str] | None:
    """UIDs of the pods in EdgeCore's store; None when it cannot be read."""
    if not database.exists():
        return None
    # Without a write-ahead log nobody has it open, and `immutable` then leaves no file behind.
    alone = "" if Path(f"{database}-wal").exists() else "&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro{alone}", uri=True)) as file:
            rows = file.execute("SELECT value FROM meta WHERE type = 'pod'").fetchall()
        return {json.loads(row[0])["metadata"]["uid"] for row in rows}
    except (sqlite3.Error, ValueError, KeyError, TypeError):
        return None
