"""Libraries that only some mappers need."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from edgelab.daemon.errors import Fatal


def need(extra: str, packages: Mapping[str, str]) -> None:
    """Check that modules are installed; `packages` has the package of each. Raises Fatal."""
    for module, package in packages.items():
        if find_spec(module) is None:
            raise Fatal(
                f"package {package} is missing: add {extra} to the host's python_runtime_extras, "
                f"or pip install 'edgelab[{extra}]'"
            )
