"""TLS handshakes that fail: asyncio drops them without a word, so the TLS object itself tells of them, and
uvloop has a traceback for each connection that ends between two of its steps."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

FAILED = "HandshakeFailed"
BROKEN, CLOSED = "Fatal error on SSL protocol", "the handler is closed"
"""uvloop's words."""


def watch_handshakes(context: ssl.SSLContext, tell: Callable[[str], object]) -> None:
    """Call `tell(why)` for each handshake of the server `context` that its own side refuses."""

    class Watched(ssl.SSLObject):
        """A TLS connection that tells."""

        def do_handshake(self) -> None:
            """Go on with the handshake. Raises SSLError."""
            try:
                super().do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                raise
            except ssl.SSLCertVerificationError as error:
                tell(f"the client's certificate is not accepted: {error.verify_message}")
                raise
            except ssl.SSLError as error:
                tell((error.reason or str(error)).lower().replace("_", " "))
                raise

    context.sslobject_class = Watched


@contextmanager
def expect_endings(tell: Callable[[str], object]) -> Iterator[None]:
    """Call `tell(why)` inside for each connection that ended in the middle of TLS, in place of a traceback.

    What else the loop's exception handler hears of goes on to the one before.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        closed = isinstance(error, RuntimeError) and CLOSED in str(error)
        if context.get("message") == BROKEN and closed:
            tell("the connection ended in the middle of TLS")
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    try:
        yield
    finally:
        loop.set_exception_handler(before)
