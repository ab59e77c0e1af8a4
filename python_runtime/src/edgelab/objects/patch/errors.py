"""What a patch can get wrong."""

from __future__ import annotations


class PatchError(ValueError):
    """A patch that cannot be applied.

    `malformed` tells a patch that is no patch at all (HTTP 400) from one that does not fit the
    object it was sent for (HTTP 422).
    """

    def __init__(self, message: str, *, malformed: bool = False) -> None:
        super().__init__(message)
        self.malformed = malformed
