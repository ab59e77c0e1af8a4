"""The mark on a Node of the CloudCore that it is connected to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgelab.cloudcore.edgecontroller.nodes import NodeWrites
from edgelab.cloudcore.interfaces import Courier
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi


class Patches:
    """An API server's patches."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    async def patch(self, resource: object, name: str, patch: Any) -> Any:
        self.made.append((name, patch))
        return {}


@pytest.mark.parametrize(("connected", "writes"), [(True, 1), (False, 0)])
async def test_only_the_cloudcore_that_still_has_the_node_marks_it(*, connected: bool, writes: int) -> None:
    """A mark that had to wait for the API server must not cover that of the node's next CloudCore."""
    api, courier = Patches(), SimpleNamespace(connected=lambda node: connected)
    present = SimpleNamespace(
        store={("", "edge1"): {"metadata": {"annotations": {"cloudcore": "192.0.2.9"}}}}
    )
    nodes = NodeWrites(cast(KubeApi, api), cast(Courier, courier), cast(Informer, present), "192.0.2.1")
    await nodes.annotate("edge1")
    assert api.made == [("edge1", {"metadata": {"annotations": {"cloudcore": "192.0.2.1"}}})] * writes
