"""Take the pods of a node out of its container runtime. EdgeCore must have been stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgelab.keadm.report import Answer, Failure

if TYPE_CHECKING:
    from edgelab.cri.runtime import Runtime

POD_UID = "io.kubernetes.pod.uid"
"""Label of every sandbox that EdgeCore or a kubelet made (kubelet `kuberuntime/labels.go`)."""


def remove_pods(endpoint: str, database: Path | None, *, check: bool) -> Answer:
    """Remove them all; `pods` names what went, or would go. Raises Failure."""
    import asyncio

    known = None if database is None else known_pods(database)
    pods = asyncio.run(_remove(endpoint, known, check=check))
    return Answer({"changed": bool(pods), "pods": pods}, "\n".join(f"{pod} removed" for pod in pods))


def known_pods(database: Path) -> set[str]:
    """Uids of the pods in an edgecore.db, which is only read. Raises Failure when it cannot be."""
    import json
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            values = connection.execute("SELECT value FROM meta WHERE type = 'pod'").fetchall()
        return {str(json.loads(value)["metadata"]["uid"]) for (value,) in values}
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise Failure(f"{database}: {error}; is it EdgeCore's database?") from None


async def _remove(endpoint: str, known: set[str] | None, *, check: bool) -> list[str]:
    from edgelab.cri.choice import connect
    from edgelab.cri.errors import CriError, RuntimeUnreachable

    runtime = connect(endpoint)
    try:
        return await _remove_from(runtime, known, check=check)
    except (CriError, RuntimeUnreachable) as error:
        raise Failure(str(error)) from None
    finally:
        runtime.close()


async def _remove_from(runtime: Runtime, known: set[str] | None, *, check: bool) -> list[str]:
    gone = []
    for sandbox in await runtime.list_sandboxes():
        uid = sandbox.labels.get(POD_UID)
        if not uid or (known is not None and uid not in known):
            continue
        gone.append(f"{sandbox.metadata.namespace}/{sandbox.metadata.name}")
        if not check:
            await runtime.stop_sandbox(sandbox.id)
            await runtime.remove_sandbox(sandbox.id)
    return sorted(set(gone))
