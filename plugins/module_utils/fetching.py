# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Files from the network by URL and checksum, and errors that say what to do."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

CHUNK = 1 << 20
SPARE = 64 << 20
"""Bytes that a download leaves free."""
RETRIES = (1.0, 4.0)
"""Seconds before the second and the third attempt; a mirror that is gone is reported, not waited for."""


class FetchError(Exception):
    """A file cannot be had; the text names the URL, the cause and what to do."""


def without_password(url):
    """The URL as it may be shown."""
    return re.sub(r"(?<=://)[^/@\s]+@", "****@", url)


def sha256(path):
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            chunk = file.read(CHUNK)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)


def request(url, username=None, password=None):
    """A request whose credentials are in a header: urllib shows the URL in its errors."""
    parts = urlsplit(url)
    if parts.username:
        username, password = unquote(parts.username), unquote(parts.password or "")
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    asked = urllib.request.Request(url)  # noqa: S310 - the caller's own URL
    if username:
        word = base64.b64encode(f"{username}:{password or ''}".encode()).decode()
        asked.add_unredirected_header("Authorization", f"Basic {word}")
    return asked


def fetch(url, expected, dest, *, username=None, password=None, timeout=30, sleep=time.sleep):
    """Download `url` to `dest` in one step; the file is there only if its SHA-256 is `expected`.

    Raises:
        FetchError: the site cannot be reached, the disk is too full, or the content is another one.
    """
    shown = without_password(url)
    asked = request(url, username, password)
    for wait in (*RETRIES, None):
        try:
            return _attempt(asked, shown, expected, Path(dest), timeout)
        except urllib.error.HTTPError as error:
            if error.code < 500 or wait is None:
                raise FetchError(f"{shown} answered {error.code} {error.reason}") from None
        except (OSError, ValueError) as error:
            if wait is None or isinstance(error, ValueError):
                reason = getattr(error, "reason", None) or error
                raise FetchError(f"{shown} cannot be reached: {reason}") from None
        sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _attempt(asked, shown, expected, dest, timeout):
    with urllib.request.build_opener().open(asked, timeout=timeout) as answer:
        _check_room(dest.parent, int(answer.headers.get("Content-Length") or 0), shown)
        handle, name = tempfile.mkstemp(dir=str(dest.parent), prefix=f".{dest.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                _copy(answer, file, shown, dest.parent)
            found = sha256(name)
            if found != expected:
                raise FetchError(f"{shown} has the SHA-256 {found} instead of {expected}")
            os.chmod(name, 0o644)
            os.replace(name, dest)
        except BaseException:
            Path(name).unlink()
            raise
    return found


def _copy(answer, file, shown, directory):
    """Copy to the end; a full disk is told apart from a broken connection."""
    while True:
        chunk = answer.read(CHUNK)
        if not chunk:
            return
        try:
            file.write(chunk)
        except OSError as error:
            raise FetchError(f"no room for {shown} below {directory}: {error.strerror}") from None


def _check_room(directory, size, shown):
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(str(directory)).free
    if free < size + SPARE:
        raise FetchError(
            f"no room for {shown}: it takes {size >> 20} MiB, and {directory} has {free >> 20} MiB free "
            f"({SPARE >> 20} MiB of them stay free)"
        )
