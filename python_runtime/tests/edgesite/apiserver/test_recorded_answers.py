"""Replays scenarios against a site and compares with the answers that a kube-apiserver gave to them.

Steps and answers lie in `../vectors`.
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


async def replayed(directory: Path, scenario: str) -> dict[str, Any]:
    async with driven(directory) as (client, clock):
        return await Replay(client, scenario, RUN, clock).run()


def without_metrics(answer: Any) -> Any:
    """The answers of a cluster without metrics-server, whose role EdgeSite's admin, edit and view gather."""
    if isinstance(answer, list):
        return [without_metrics(item) for item in answer if not _is_metrics(item)]
    return (
        {key: without_metrics(value) for key, value in answer.items()} if isinstance(answer, dict) else answer
    )


def _is_metrics(item: Any) -> bool:
    rule = ["metrics.k8s.io"], ["nodes", "pods"]
    return isinstance(item, dict) and (item.get("apiGroups"), item.get("resources")) == rule


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_answers_are_those_of_a_kube_apiserver(tmp_path: Path, scenario: str) -> None:
    got = without_metrics(run(replayed(tmp_path, scenario)))
    different = differences(json.loads((VECTORS / f"{scenario}.json").read_text()), got)
    assert different == {}
