"""Pods and runtime states for tests of the pure parts, and a clock that tests move."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

from edgelab.edgecore.edged import names, state
from edgelab.edgecore.edged.state import Container, PodState, Sandbox

Obj = dict[str, Any]
SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND


class HandClock:
    """Time that passes only by `sleep` and by hand."""

    def __init__(self) -> None:
        self.moment = START / SECOND

    def now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.moment, dt.UTC)

    def monotonic(self) -> float:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        self.moment += seconds
        await asyncio.sleep(0)


def pod(*containers: Obj, **spec: Any) -> Obj:
    return {
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "u-1",
            "labels": {"app": "web"},
            "annotations": {"note": 'a "b"'},
        },
        "spec": {
            "nodeName": "edge1",
            "containers": list(containers) or [{"name": "main", "image": "nginx:1"}],
            **spec,
        },
    }


def container(name: str = "main", *, image: str = "nginx:1", number: int = 0, **fields: Any) -> Container:
    values: Obj = {
        "id": f"{name}-{number}",
        "name": name,
        "sandbox": "s-0",
        "state": state.RUNNING,
        "created_at": START,
        "started_at": START,
        "finished_at": 0,
        "exit_code": 0,
        "image": image,
        "image_ref": "sha256:1",
        "reason": "",
        "message": "",
        "hash": names.container_hash({"name": name, "image": image}),
        "restarts": number,
        "message_path": "",
        "log_path": "",
    }
    return Container(**{**values, **fields})


def exited(name: str = "main", code: int = 0, *, number: int = 0, **fields: Any) -> Container:
    return container(
        name,
        number=number,
        state=state.EXITED,
        exit_code=code,
        finished_at=START + 5 * SECOND,
        **fields,
    )


def running(*containers: Container, ready: bool = True, attempt: int = 0) -> PodState:
    sandbox = Sandbox("s-0", attempt, ready, START, ["10.0.0.2"] if ready else [])
    return PodState("u-1", "web", "default", [sandbox], list(containers))
