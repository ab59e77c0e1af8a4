"""A listening unix socket: its directory, its mode, and what an earlier process left behind."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

MODE = 0o660
PATH_LIMIT = 107
"""Bytes that the kernel takes for the path of a socket."""


class CannotListen(Exception):
    """The socket cannot be had now; `str()` names the path and the cause."""


def listen(path: Path, mode: int = MODE) -> socket.socket:
    """Bind and listen, without blocking afterwards; only what nobody listens on is replaced.

    Raises CannotListen.
    """
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise CannotListen(
            f"{path}: a socket's path has {PATH_LIMIT} bytes at most; choose a shorter directory"
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        _remove_leftover(path)
        sock.bind(str(path))
        path.chmod(mode)
        sock.listen(128)
        sock.setblocking(False)
    except FileExistsError:
        sock.close()
        raise CannotListen(f"{path.parent}: is no directory") from None
    except OSError as error:
        sock.close()
        raise CannotListen(f"{path}: {error.strerror or error}") from None
    except CannotListen:
        sock.close()
        raise
    return sock


def _remove_leftover(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise CannotListen(f"{path}: a file that is no socket is in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError as error:
            if error.errno != errno.ECONNREFUSED:
                raise
        else:
            raise CannotListen(f"{path}: another process listens on it (`ss -xlp` names it)")
    path.unlink()
