"""Packages that only some settings need."""

from __future__ import annotations

import importlib.util
import sys

from edgelab.daemon.errors import Fatal

REQUIREMENTS = {"aioquic": "aioquic>=1.7,<2", "psycopg": "psycopg>=3.2,<4"}
"""Packages of pyproject's optional dependencies, and what pip is to be told."""


def require(package: str, what: str) -> None:
    """See, without importing it, that `package` is installed. Raises Fatal that says `what` needs it."""
    if importlib.util.find_spec(package) is None:
        raise Fatal(
            f"{what} needs the Python package {package}, which is not installed:"
            f" {sys.executable} -m pip install '{REQUIREMENTS[package]}'"
        )
