"""Replays scenarios against a site and compares with the answers that a kube-apiserver gave to them.

Steps and answers lie in `../vectors`. `KNOWN_DIFFERENCES` is exact: an answer that begins to agree, or
another one that ceases to, fails the test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.edgesite.apiserver.replaying import VECTORS, Replay, differences
from tests.edgesite.apiserver.running import driven
from tests.edgesite.driven import run

SCENARIOS = sorted(path.name.removesuffix(".steps.json") for path in VECTORS.glob("*.steps.json"))
RUN = "-replay"
# The recording caught the moment between the acceptance of the names and the definition being
# established, which kube-apiserver's controllers do in two steps and EdgeSite in one.
KNOWN_DIFFERENCES: dict[str, Any] = {
    "crd/crd-established": {"body.status.conditions.1.status": ("False", "True")}
}


async def replayed(directory: Path, scenario: str) -> dict[str, Any]:
    async with driven(directory) as (client, clock):
        return await Replay(client, scenario, RUN, clock).run()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_answers_are_those_of_a_kube_apiserver(tmp_path: Path, scenario: str) -> None:
    got = run(replayed(tmp_path, scenario))
    different = differences(json.loads((VECTORS / f"{scenario}.json").read_text()), got)
    known = {name: value for name, value in KNOWN_DIFFERENCES.items() if name.startswith(f"{scenario}/")}
    assert different == known
