"""Quantities are read, compared and brought into the API server's form."""

from __future__ import annotations

import pytest

from edgelab.objects import metadata, quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("1800m", "1800m"),
        ("110", "110"),
        ("1000", "1k"),
        ("2e3", "2e3"),
        ("0", "0"),
        ("0Mi", "0"),
        ("0.1n", "1n"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


def test_units_round_up_and_nonsense_is_refused() -> None:
    assert quantity.milli("1.0005") == 1001
    assert quantity.whole("1.5Ki") == 1536
    assert quantity.milli(2) == 2000
    for nonsense in ("", "1X", "Mi", "1 Gi", "--1"):
        with pytest.raises(ValueError, match="quantities must match"):
            quantity.parse(nonsense)


def test_conditions_keep_their_transition_time_while_the_status_stays() -> None:
    obj: dict[str, object] = {}
    assert metadata.set_condition(obj, {"type": "Ready", "status": "True", "lastTransitionTime": "1"})
    assert metadata.set_condition(
        obj, {"type": "Ready", "status": "True", "reason": "r", "lastTransitionTime": "2"}
    )
    found = metadata.condition(obj, "Ready")
    assert found is not None
    assert found["lastTransitionTime"] == "1"
    assert metadata.set_condition(obj, {"type": "Ready", "status": "False", "lastTransitionTime": "3"})
    assert not metadata.set_condition(obj, {"type": "Ready", "status": "False", "lastTransitionTime": "4"})


def test_owner_references_name_the_controller() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "rs", "uid": "u1"}}
    pod = {"metadata": {"name": "p", "ownerReferences": [metadata.owner_reference(owner)]}}
    assert metadata.is_controlled_by(pod, owner)
    assert not metadata.is_controlled_by({"metadata": {"name": "q"}}, owner)
    assert metadata.key_of(pod) == ("", "p")
