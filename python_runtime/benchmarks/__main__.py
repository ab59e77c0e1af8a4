"""`make bench`: what our choices cost and gain, as ratios measured in one run.

Absolute figures move between machines and hours; each benchmark therefore measures a choice of ours
against its alternative side by side, and prints both with their ratio. Never run as a test. What makes the
load runs on the daemons' event loop: it must cost less than what it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import pkgutil
from pathlib import Path

from benchmarks.measure import Result

from edgelab.daemon.main import loop_factory


def names() -> list[str]:
    """The benchmarks of this folder: modules whose name starts with `bench_`."""
    found = pkgutil.iter_modules([str(Path(__file__).parent)])
    return sorted(module.name for module in found if module.name.startswith("bench_"))


def show(title: str, results: list[Result]) -> None:
    """Print one table; the first row is the reference of the ratios, until another one is."""
    print(f"\n{title}")
    reference = results[0].value
    for result in results:
        reference = result.value if result.is_reference else reference
        ratio = result.value / reference if reference else float("nan")
        print(f"  {result.label:<58} {result.value:>12,.1f} {result.unit:<8} x{ratio:.2f}")


async def main() -> None:
    """Run the benchmarks named on the command line, or all."""
    flags = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    flags.add_argument("only", nargs="*", metavar="NAME", help=", ".join(names()))
    wanted = flags.parse_args().only or names()
    for name in wanted:
        module = importlib.import_module(f"benchmarks.{name}")
        show((module.__doc__ or name).splitlines()[0], await module.run())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())
