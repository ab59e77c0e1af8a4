"""What can go wrong between EdgeCore and a container runtime."""

from __future__ import annotations

from edgelab.daemon.errors import Unreachable


class RuntimeUnreachable(Unreachable):
    """Nobody answers on the runtime's socket; the text names the socket and what to do."""


class CriError(Exception):
    """The runtime answered a call with an error; `code` is gRPC's name for it, such as NOT_FOUND."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def not_found(self) -> bool:
        """The sandbox, container or image is not there."""
        return self.code == "NOT_FOUND"

    @property
    def lacks_seccomp(self) -> bool:
        """The kernel, or the runtime as it was built, has no seccomp: containerd's words, and CRI-O's."""
        return any(f"seccomp is not {word}" in self.message for word in ("supported", "enabled"))
