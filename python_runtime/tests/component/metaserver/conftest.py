"""One control plane with CloudCore for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.component.metaserver.lab import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()
