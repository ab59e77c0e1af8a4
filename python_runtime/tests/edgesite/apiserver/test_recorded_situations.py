"""Plays situations on a whole site and compares with what a kube-controller-manager made of them.

Steps and what was seen lie in `../vectors/controllers`. What differs for a reason is in `KNOWN`, and is
exact: a difference that goes away fails the test as a new one does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.edgesite.apiserver.replaying import flat
from tests.edgesite.apiserver.running import driven
from tests.edgesite.driven import run
from tests.edgesite.situations import Situation

VECTORS = Path(__file__).parents[1] / "vectors/controllers"
SUBJECTS = sorted(path.name.removesuffix(".steps.json") for path in VECTORS.glob("*.steps.json"))
QUIET_SECONDS = 1.0
"""On the driven clock: less than what is waited for (minReadySeconds), more than the first attempts again."""
KNOWN: dict[str, set[str]] = {
    # Pods of a node that is heard again are ready again at once: an edge reports only what has changed.
    "node-silent": {
        f"{step} pods [{place}].status.conditions[0].status"
        for step in ("heard-again", "not-ready", "cordoned")
        for place in (1, 2, 3)
    }
}
"""By subject: step, path and field."""


def differences(wanted: Any, found: Any) -> dict[str, tuple[Any, Any]]:
    told: dict[str, tuple[Any, Any]] = {}
    for step, lists in wanted.items():
        for path, expected in lists.items():
            got = found[step][path]
            where = f"{step} {path.rpartition('/')[2]}"
            if "/events" in path:
                told |= {f"{where} {event}": ("told", "missing") for event in set(expected) - set(got)}
                told |= {f"{where} {event}": ("never told", "told") for event in set(got) - set(expected)}
                continue
            one, other = flat(expected), flat(got)
            told |= {
                f"{where} {field}": (one.get(field, "<absent>"), other.get(field, "<absent>"))
                for field in {*one, *other}
                if one.get(field, "<absent>") != other.get(field, "<absent>")
            }
    return told


async def played(directory: Path, subject: str) -> dict[str, Any]:
    steps = json.loads((VECTORS / f"{subject}.steps.json").read_text())
    async with driven(directory) as (client, clock):
        return await Situation(client.call, f"here-{subject}", QUIET_SECONDS, clock=clock).play(steps)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_controllers_bring_about_what_the_real_ones_do(tmp_path: Path, subject: str) -> None:
    found = run(played(tmp_path, subject))
    told = differences(json.loads((VECTORS / f"{subject}.json").read_text()), found)
    known = KNOWN.get(subject, set())
    assert {where: what for where, what in told.items() if where not in known} == {}
    assert known <= told.keys()
