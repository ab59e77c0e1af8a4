"""Which hosts a run lost while it checked them, and why."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.edgelab.kubeedge.plugins.filter.lost_hosts import lost_hosts

GOOD: dict[str, Any] = {"__site_facts": {"changed": False}, "__validate_host": {"changed": False}}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"__site_facts": {"unreachable": True, "msg": "No route to host\n"}},
            "cannot be reached: No route to host (",
        ),
        ({**GOOD, "__validate_clock": {"unreachable": True}}, "cannot be reached: no reason was given"),
        (
            {
                **GOOD,
                "__validate_host": {
                    "failed": True,
                    "msg": ["Host edge1 cannot be used:", "no space", "no clock"],
                },
            },
            "host edge1 cannot be used: no space no clock",
        ),
        (
            {**GOOD, "__site_facts": {"failed": True, "msg": "no Python"}},
            "host edge1 cannot be used: no Python",
        ),
    ],
)
def test_a_host_that_was_lost_is_named_with_the_reason(variables: dict[str, Any], words: str) -> None:
    (line,) = lost_hosts({"edge1": variables, "edge2": GOOD}, ["edge1", "edge2"])
    assert words in line


def test_hosts_that_were_not_checked_are_not_lost() -> None:
    assert lost_hosts({"edge1": {}, "edge2": GOOD}, ["edge1", "edge2"]) == []
