"""Tell EdgeSite stories for a while and print everything that no kube-apiserver would have answered.

python -m tests.edgesite.fuzzing --minutes 10 --seed 1 [--kind Pod]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from hypothesis import HealthCheck, Phase, given, seed, settings
from tests.edgesite.fuzzing.checking import Wrong
from tests.edgesite.fuzzing.choices import STORIES, Choices
from tests.edgesite.fuzzing.corpus import Corpus
from tests.edgesite.fuzzing.operations import Resource
from tests.edgesite.fuzzing.running import Complaints, complaints, telling
from tests.edgesite.fuzzing.stories import Teller
from tests.edgesite.fuzzing.wire import Closed

ROUND = 150  # with one site
FREE = settings(
    max_examples=ROUND,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def round_of(number: int, kinds: list[str], corpus: Corpus, heard: Complaints) -> tuple[int, list[str]]:
    """How many requests a fresh site was asked, and what was wrong."""
    wrong: list[str] = []
    with asyncio.Runner() as runner:
        context = telling(corpus)
        teller, resources = runner.run(context.__aenter__())
        chosen = [one for one in resources if not kinds or one.kind in kinds]
        tell = _told(runner, teller, chosen, heard, wrong)
        seed(number)(FREE(given(STORIES)(tell)))()
        runner.run(context.__aexit__(None, None, None))
    return teller.asked, wrong


def _told(
    runner: asyncio.Runner, teller: Teller, chosen: list[Resource], heard: Complaints, wrong: list[str]
):
    def tell(data: bytes) -> None:
        choices = Choices(data)
        try:
            runner.run(teller.tell(choices.pick(chosen), choices))
        except (Wrong, Closed, TimeoutError) as error:
            wrong.append(f"{type(error).__name__}: {error}")
            runner.run(teller.connection.close())
        try:
            heard.check()
        except Wrong as error:
            wrong.append(str(error))

    return tell


def main() -> int:
    """Run until the time is over; 1 when something was wrong."""
    parser = argparse.ArgumentParser(
        prog="tests.edgesite.fuzzing", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", default=[], help="only of this kind (repeatable)")
    wanted = parser.parse_args()
    corpus, number, found, asked = Corpus(), wanted.seed, 0, 0
    end = time.monotonic() + wanted.minutes * 60
    with complaints() as heard:
        while time.monotonic() < end:
            count, wrong = round_of(number, wanted.kind, corpus, heard)
            asked, found = asked + count, found + len(wrong)
            for text in wrong:
                print(f"--- seed {number}: {text}\n", flush=True)
            number += 1
    print(f"{asked} requests with the seeds {wanted.seed} to {number - 1}: {found} wrong", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
