"""Why a message did not arrive, as its sender is told."""

from __future__ import annotations

RETRY_SECONDS = 5
"""After so many seconds a node that is away is worth another attempt."""


class Undeliverable(Exception):
    """`status` is as in HTTP; `retry_after`, in seconds, is set when the same may work later."""

    def __init__(self, status: int, text: str, *, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


def away(node: str) -> Undeliverable:
    """The node has no session; the words are the original's."""
    text = f"cloudcore doesn't have session for node:{node}"
    return Undeliverable(503, text, retry_after=RETRY_SECONDS)
