"""Rows of tables have a cell for each column (that the columns are kube-apiserver's is recorded)."""

from __future__ import annotations

import datetime as dt

import pytest

from edgelab.edgesite.apiserver import builtin
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.schema import Catalogue
from edgelab.edgesite.apiserver.tables import table_for

UNNAMED = {"IPAddress": 1}
"""Cells that kube-apiserver shows without a column."""
KINDS = [kind for kind in builtin.kinds(Catalogue()) if "list" in kind.verbs]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.api_version}/{kind.plural}")
def test_a_bare_object_fills_every_column(kind: Kind) -> None:
    table = table_for(kind)
    row = table.row({"metadata": {"name": "bare"}}, dt.datetime.now(dt.UTC))
    assert len(row["cells"]) == len(table.definitions) + UNNAMED.get(kind.name, 0)
