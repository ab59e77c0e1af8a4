"""The actions of a job on a node, and which one comes next (KubeEdge `pkg/nodetask/actionflow`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

UPGRADE, PREPULL, CONFIG = "nodeupgradejob", "imageprepulljob", "configupdatejob"
CHECK, CONFIRMATION, BACKUP = "Check", "WaitingConfirmation", "BackUp"
ROLLBACK = "RollBack"


class Next(NamedTuple):
    """What follows an action that succeeded, and one that failed; None ends the job on the node."""

    success: str | None
    failure: str | None = None


FLOWS: Mapping[str, Mapping[str, Next]] = {
    UPGRADE: {
        CHECK: Next(CONFIRMATION),
        CONFIRMATION: Next(BACKUP),
        BACKUP: Next("Upgrade"),
        "Upgrade": Next(None, ROLLBACK),
        ROLLBACK: Next(None),
    },
    PREPULL: {CHECK: Next("Pull"), "Pull": Next(None)},
    CONFIG: {
        CHECK: Next(BACKUP),
        BACKUP: Next("Update"),
        "Update": Next(None, ROLLBACK),
        ROLLBACK: Next(None),
    },
}
"""By the kind's name in a message's resource."""


def following(job: str, action: str, *, succeeded: bool) -> str | None:
    """The action after `action`; None when it was the last one. Raises KeyError for what is no action."""
    step = FLOWS[job][action]
    return step.success if succeeded else step.failure
