"""What the status of a pod is made from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgelab.edgecore.edged import podspec
from edgelab.edgecore.edged.problems import ContainerProblem
from edgelab.edgecore.edged.state import EXITED, Container, PodState

Obj = dict[str, Any]


@dataclass(slots=True)
class View:
    """Everything a status is made from.

    `waiting`: why a container is not started, by name. `before`: the status that was known last.
    `runtime`: the container runtime's name, which container ids begin with.
    `ending`: the pod's deletion is under way. `failure`: reason and message that end the pod for good.
    """

    pod: Obj
    state: PodState
    host_ip: str
    now: dt.datetime
    ready: Callable[[Obj, Container | None], bool]
    started: Callable[[Obj, Container | None], bool]
    waiting: dict[str, ContainerProblem] = field(default_factory=dict)
    before: Obj = field(default_factory=dict)
    ending: bool = False
    failure: tuple[str, str] | None = None
    runtime: str = "containerd"


def initialized(view: View) -> bool:
    """Whether all init containers have done their part."""
    if any(view.state.container(c["name"]) for c in podspec.containers(view.pod)):
        return True
    for container in podspec.init_containers(view.pod):
        found = view.state.container(container["name"])
        if podspec.is_sidecar(container):
            if not view.started(container, found):
                return False
        elif found is None or found.state != EXITED or found.exit_code != 0:
            return False
    return True
