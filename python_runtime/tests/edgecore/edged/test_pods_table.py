"""docs/reference/pods.md names every field that the API has, and what it says of volumes is so."""

from __future__ import annotations

import json
import re
import zipfile
from importlib import resources
from pathlib import Path

import pytest

from edgelab.edgecore.edged import admission, projection, volumes

TABLE = Path(__file__).resolve().parents[4] / "docs" / "reference" / "pods.md"
TYPES = ["PodSpec", "Container", "EphemeralContainer", "PodSecurityContext", "SecurityContext", "Volume"]
EVERY_OTHER = "and the rest"


def fields(kind: str) -> set[str]:
    with (resources.files("edgelab") / "data/apis/kubernetes.zip").open("rb") as file:
        found = json.loads(zipfile.ZipFile(file).read(f"io.k8s.api.core.v1.{kind}"))
    return set(found["properties"])


def named(text: str) -> set[str]:
    """Everything in backticks, taken apart at dots, colons and brackets."""
    return {word for code in re.findall(r"`([^`]+)`", text) for word in re.split(r"[.\[\]: ]+", code)}


@pytest.mark.parametrize("kind", TYPES)
def test_every_field_is_in_the_table(kind: str) -> None:
    text = TABLE.read_text()
    missing = fields(kind) - named(text) - {"name"}
    if kind == "Volume":
        assert EVERY_OTHER in text
        missing &= {*volumes.PROJECTED, "emptyDir", "hostPath"}
    assert not missing, f"docs/reference/pods.md does not say what becomes of {sorted(missing)}"


def test_what_is_offered_and_refused_is_named() -> None:
    words = named(TABLE.read_text())
    assert {*volumes.PROJECTED, *projection.SOURCES} <= words
    source = Path(admission.__file__).read_text()
    reasons = set(re.findall(r'Refusal\(\s*"(\w+)"', source)) - {"PodOSSelectorNodeLabelDoesNotMatch"}
    assert reasons
    assert reasons <= words
