"""The bearer token with which requests of a client are signed."""

from __future__ import annotations

import time

from edgelab.daemon.errors import Fatal
from edgelab.kube.kubeconfig import Kubeconfig

TOKEN_SECONDS = 60.0
"""Service account tokens rotate: the file is read again after this time."""


class Bearer:
    """The token of a kubeconfig, or what its file has now."""

    def __init__(self, config: Kubeconfig) -> None:
        self._config = config
        self._read: tuple[float, str] | None = None

    def headers(self) -> list[tuple[str, str]]:
        """`Authorization`, where there is a token. Raises Fatal for a file that cannot be read."""
        token = self._token()
        return [("Authorization", f"Bearer {token}")] if token else []

    def _token(self) -> str | None:
        path = self._config.token_file
        if path is None:
            return self._config.token
        now = time.monotonic()
        if self._read is None or now - self._read[0] > TOKEN_SECONDS:
            try:
                self._read = (now, path.read_text(encoding="utf-8").strip())
            except OSError as error:
                raise Fatal(f"token file {path}: {error.strerror}") from None
        return self._read[1]
