"""The columns of tables are kube-apiserver's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgelab.edgesite.apiserver import builtin
from edgelab.edgesite.apiserver.kinds import Kinds
from edgelab.edgesite.apiserver.schema import Catalogue
from edgelab.edgesite.apiserver.tables import table_for

RECORDED = json.loads((Path(__file__).parents[1] / "vectors/columns.json").read_text())
CATALOGUE = Catalogue()
KINDS = Kinds(CATALOGUE, builtin.kinds(CATALOGUE))
FIELDS = ("name", "type", "format", "priority")


@pytest.mark.parametrize("resource", RECORDED)
def test_columns_are_those_of_a_kube_apiserver(resource: str) -> None:
    kind = KINDS.find(*resource.split("/"))
    assert kind is not None
    found = [[column[field] for field in FIELDS] for column in table_for(kind).definitions]
    assert found == RECORDED[resource]
