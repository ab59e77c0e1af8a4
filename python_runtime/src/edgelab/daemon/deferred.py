"""Modules that libraries import and a daemon hardly ever uses: their code comes with their first use.

On a node of 512 MB memory is worth more than the few microseconds of a first use. `importlib.util.LazyLoader`
is meant for this, but `import a.b` alone already makes it load.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    """Becomes the module itself when an attribute is asked for that only its code can give it."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        assert spec is not None
        assert spec.loader is not None
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec.loader.exec_module(self)
        return getattr(self, name)


def defer(*names: str) -> None:
    """Let each module be imported without being run; one that is there already, or not installed, stays so.

    Its package is imported, if it has one. To be called before anything imports the module.
    """
    for name in names:
        package, _, last = name.rpartition(".")
        if name in sys.modules or (spec := _find(name)) is None:
            continue
        module = put(spec)
        if package:
            setattr(sys.modules[package], last, module)


def put(spec: ModuleSpec) -> ModuleType:
    """Let the module of a spec be found without being run; the module."""
    module = importlib.util.module_from_spec(spec)
    module.__class__ = _Deferred
    sys.modules[spec.name] = module
    return module


def _find(name: str) -> Any:
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:  # of its package
        return None
