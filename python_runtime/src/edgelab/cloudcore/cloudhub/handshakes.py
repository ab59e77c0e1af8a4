"""TLS handshakes that fail: asyncio drops them without a word, so the TLS object itself tells of them."""

from __future__ import annotations

import ssl
from collections.abc import Callable

FAILED = "HandshakeFailed"


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
