"""How a pod is ended by its node: the verdict goes into its status, and stays after a restart of EdgeCore.

A pod that was evicted must not run again because EdgeCore started anew while the cloud was away, so the
verdict lies in the pod's directory until the pod is gone (`<root>/pods/<uid>/verdict.json`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgelab.daemon.clock import Clock, rfc3339

log = logging.getLogger(__name__)
Obj = dict[str, Any]

FILE = "verdict.json"


class Verdict(msgspec.Struct, frozen=True):
    """Reason and message of the pod's status; `grace` in seconds; `disrupted` adds DisruptionTarget."""

    reason: str
    message: str
    grace: int | None = None
    disrupted: bool = False


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Verdicts on disk, below the pods' directories."""

    pods: Path

    def read(self, uid: str) -> Verdict | None:
        """The verdict over a pod, if there is one."""
        try:
            return msgspec.json.decode((self.pods / uid / FILE).read_bytes(), type=Verdict)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, uid: str, verdict: Verdict) -> None:
        """Keep it; on a full disk it lasts as long as this process."""
        try:
            (self.pods / uid).mkdir(parents=True, exist_ok=True, mode=0o750)
            (self.pods / uid / FILE).write_bytes(msgspec.json.encode(verdict))
        except OSError as error:
            log.warning("the end of pod %s is not kept for a restart: %s", uid, error)


def condition(verdict: Verdict, before: list[Obj], clock: Clock) -> Obj:
    """The DisruptionTarget condition (KEP-3329) that tells controllers why the pod failed."""
    old = next((c for c in before if c.get("type") == "DisruptionTarget"), {})
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "TerminationByKubelet",
        "message": verdict.message,
        "lastProbeTime": None,
        "lastTransitionTime": old.get("lastTransitionTime") or rfc3339(clock.now()),
    }
