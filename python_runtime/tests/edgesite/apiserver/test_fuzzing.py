"""Requests right and wrong, made of the served OpenAPI documents: never a 500, nothing torn or lost.

The same stories in every run, and few; `python -m tests.edgesite.fuzzing` tells others for longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from tests.edgesite.fuzzing.choices import STORIES, Choices
from tests.edgesite.fuzzing.corpus import Corpus
from tests.edgesite.fuzzing.operations import Resource
from tests.edgesite.fuzzing.running import complaints, telling
from tests.edgesite.fuzzing.stories import Teller

FEW = settings(
    max_examples=250,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
Telling = tuple[asyncio.Runner, Teller, list[Resource]]


@pytest.fixture
def site() -> Iterator[Telling]:
    with asyncio.Runner() as runner:
        context = telling(Corpus())
        teller, resources = runner.run(context.__aenter__())
        yield runner, teller, resources
        runner.run(context.__aexit__(None, None, None))


def test_every_answer_is_one_that_a_kube_apiserver_could_give(site: Telling) -> None:
    runner, teller, resources = site

    @FEW
    @given(STORIES)
    def tell(data: bytes) -> None:
        choices = Choices(data)
        runner.run(teller.tell(choices.pick(resources), choices))
        heard.check()

    with complaints() as heard:
        tell()
    assert teller.asked > FEW.max_examples
