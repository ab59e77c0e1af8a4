"""`edgelab.stream` and what modules.edgeStream needs."""

from __future__ import annotations

import pytest

from edgelab.settings import cloudcore, edgecore
from edgelab.settings.cloudcore_stream import Stream


@pytest.mark.parametrize(
    ("stream", "field"),
    [
        (Stream(mode="iptables"), "edgelab.stream.mode"),
        (Stream(firstPort=0), "edgelab.stream.firstPort"),
        (Stream(firstPort=2000, lastPort=1000), "edgelab.stream.lastPort"),
        (Stream(address="cloud"), "edgelab.stream.address"),
    ],
)
def test_values_that_make_no_sense_are_named(stream: Stream, field: str) -> None:
    settings = cloudcore.CloudCore()
    settings.edgelab.stream = stream
    assert cloudcore.validate(settings) == []  # the module is off
    settings.modules.cloudStream.enable = True
    assert [problem.field for problem in cloudcore.validate(settings)] == [field]


def test_streams_of_an_edge_need_its_pods() -> None:
    settings = edgecore.EdgeCore()
    settings.modules.edgeStream.enable = True
    assert edgecore.validate(settings) == []
    settings.modules.edged.enable = False
    assert [problem.field for problem in edgecore.validate(settings)] == ["modules.edgeStream.enable"]
