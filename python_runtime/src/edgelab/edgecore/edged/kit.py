"""What the workers of all pods share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import builder
from edgelab.edgecore.edged.admission import Refusal
from edgelab.edgecore.edged.events import Recorder
from edgelab.edgecore.edged.images import Images
from edgelab.edgecore.edged.probes import Prober
from edgelab.edgecore.edged.reports import Reports
from edgelab.edgecore.edged.restarts import Backoff
from edgelab.edgecore.edged.volumes import Volumes
from edgelab.edgecore.interfaces import Meta

Obj = dict[str, Any]


@dataclass(slots=True)
class Kit:
    """What all pod workers share. `host_ip` and `allocatable` are the node's; `resync` in seconds."""

    runtime: Runtime
    meta: Meta
    clock: Clock
    node: builder.NodeSettings
    volumes: Volumes
    images: Images
    prober: Prober
    reports: Reports
    events: Recorder
    crashes: Backoff
    host_ip: str
    allocatable: dict[str, str]
    resync: float
    admit: Callable[[Obj], Refusal | None] = lambda _: None
    runtime_name: Callable[[], str] = lambda: "containerd"
