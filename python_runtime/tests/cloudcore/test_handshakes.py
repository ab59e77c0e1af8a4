"""What the event loop says of connections that end in the middle of TLS."""

from __future__ import annotations

import asyncio
from typing import Any

from edgelab.cloudcore.cloudhub.handshakes import BROKEN, expect_endings


async def test_an_ending_in_the_middle_of_tls_is_told_and_everything_else_passed_on() -> None:
    loop = asyncio.get_running_loop()
    told: list[str] = []
    passed: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: passed.append(context))
    ended = RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")
    others = [
        {"message": BROKEN, "exception": RuntimeError("a defect")},
        {"message": BROKEN, "exception": ZeroDivisionError("a defect")},
        {"message": "task failed", "exception": ended},
        {"message": "without an exception"},
    ]
    try:
        with expect_endings(told.append):
            for context in ({"message": BROKEN, "exception": ended}, *others):
                loop.call_exception_handler(context)
        loop.call_exception_handler({"message": BROKEN, "exception": ended})
    finally:
        loop.set_exception_handler(None)
    assert told == ["the connection ended in the middle of TLS"]
    assert passed == [*others, {"message": BROKEN, "exception": ended}]
