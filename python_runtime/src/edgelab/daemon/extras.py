"""Packages that only some settings and programs need."""

from __future__ import annotations

import importlib.util
import sys

from edgelab.daemon.errors import Fatal

REQUIREMENTS = {
    "aiohttp": "aiohttp>=3.9,<4",
    "aiomysql": "aiomysql>=0.3,<1",
    "aioquic": "aioquic>=1.7,<2",
    "asyncua": "asyncua>=1.1,<2",
    "psycopg": "psycopg>=3.2,<4",
    "pymodbus": "pymodbus>=3.10,<4",
    "redis": "redis>=5.0.1,<9",
    "serial": "pyserial>=3.5,<4",
}
"""Modules of pyproject's optional dependencies, and what pip is to be told."""
ON_HOSTS = {
    **{"asyncua": "opcua", "pymodbus": "modbus", "serial": "modbus"},
    **{"aiohttp": "push", "aiomysql": "push", "redis": "push"},
}
"""What role python_runtime calls them."""


def require(package: str, what: str) -> None:
    """See, without importing it, that `package` is installed. Raises Fatal that says `what` needs it."""
    if importlib.util.find_spec(package) is None:
        raise Fatal(missing(package, what))


def missing(package: str, what: str) -> str:
    """That `what` needs a package which is not there, and how it gets there."""
    extra = ON_HOSTS.get(package)
    role = f"python_runtime_extras: [{extra}] for the role, or " if extra else ""
    return (
        f"{what} needs the Python package {package}, which is not installed:"
        f" {role}{sys.executable} -m pip install '{REQUIREMENTS.get(package, package)}'"
    )
