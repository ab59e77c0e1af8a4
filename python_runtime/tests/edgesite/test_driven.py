"""The loop of driven sites: order of what wakes, and that time waits for the work."""

from __future__ import annotations

import asyncio
import time

from tests.edgesite.driven import DrivenClock, Driver, run


def test_sleepers_wake_in_order_and_at_their_moments() -> None:
    async def main() -> list[tuple[str, float]]:
        clock, woken = DrivenClock(), []
        begin = clock.monotonic()

        async def sleeper(name: str, *pauses: float) -> None:
            for pause in pauses:
                await clock.sleep(pause)
                woken.append((name, clock.monotonic() - begin))

        tasks = [asyncio.create_task(sleeper(*args)) for args in (("a", 300, 100), ("b", 100, 100, 900))]
        await Driver().sleep(500)
        assert clock.monotonic() - begin == 500
        await asyncio.gather(*tasks)
        return woken

    began = time.monotonic()
    assert run(main()) == [("b", 100), ("b", 200), ("a", 300), ("a", 400), ("b", 1100)]
    assert time.monotonic() - began < 60


def test_time_waits_for_input_and_for_other_threads() -> None:
    async def main() -> None:
        clock = Driver()
        begin = clock.monotonic()
        sleeping = asyncio.create_task(clock.sleep(5))
        await asyncio.to_thread(time.sleep, 0.1)
        assert clock.monotonic() == begin
        answered = asyncio.Event()

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert clock.monotonic() == begin
            answered.set()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await answered.wait()
        await sleeping
        assert clock.monotonic() == begin + 5
        writer.close()
        server.close()

    run(main())


def test_an_answer_that_takes_time_comes() -> None:
    async def main() -> None:
        async with asyncio.timeout(100):
            await asyncio.sleep(99)

    run(main())
