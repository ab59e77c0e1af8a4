"""One installed collection for all tests that only read it."""

from __future__ import annotations

import pytest

from tests.collection.installed import Installed, install


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The collection, built from the checkout and installed into an empty folder."""
    return install(tmp_path_factory.mktemp("collection"))
