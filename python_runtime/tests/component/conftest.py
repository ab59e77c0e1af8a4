"""Component tests beside each other (`-n 4`, pytest-xdist): each process has a network of its own.

Most of them wait most of the time. In networks of their own they take no port from one another, and none of
those by which others connect.
"""

from __future__ import annotations

import os
import subprocess

import pytest
from tests.component.edged import containerd as private


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Before there are several: what is built once, and needs the machine's network for it."""
    if not private.available():
        private.images()


def pytest_sessionstart() -> None:
    """One of several processes leaves the machine's network; alone it stays there."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        private.leave(private.CLONE_NEWNET)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
