"""The condition of a PodDisruptionBudget, which the API and the controller both write.

Fact: pkg/api/pod/util (`pdbhelper.UpdateDisruptionAllowedCondition`).
"""

from __future__ import annotations

from typing import Any


def allowed_condition(status: dict[str, Any], now: str) -> dict[str, Any]:
    """`DisruptionAllowed` as it follows from the status."""
    enough = status.get("disruptionsAllowed", 0) > 0
    return {
        "type": "DisruptionAllowed",
        "status": "True" if enough else "False",
        "observedGeneration": status.get("observedGeneration", 0),
        "lastTransitionTime": now,
        "reason": "SufficientPods" if enough else "InsufficientPods",
        "message": "",
    }
