"""Credentials: KubeEdge's environment variables, or files that `<NAME>_FILE` names."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from edgelab.daemon.errors import Unreachable
from edgelab.objects.pushmethods import Login


def secret(name: str) -> str:
    """The variable `name`, else what is in the file of `<name>_FILE`, else "". Read anew for each connection.

    Raises Unreachable when the file cannot be read: it may come later.
    """
    if value := os.environ.get(name):
        return value
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise Unreachable(f"{name}_FILE: {path}: {cause}") from None


def plain(login: Login | None) -> tuple[str, str]:
    """User and password of a URL, decoded."""
    return (unquote(login.user), unquote(login.password)) if login else ("", "")
