"""Let asyncio and grpclib be imported without `ssl`, for programs that hardly ever speak TLS: it takes 4 MiB.

Both import it for whoever may need it, and look into it without need. What they get instead finds `ssl` when
TLS is really used: nothing that works with it works otherwise without it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from edgelab.daemon.deferred import put

PART = "asyncio.sslproto"
"""It takes exceptions out of `ssl` when it is imported."""


class _Door(ModuleType):
    """Stands for `ssl`. asyncio asks whether a socket is an SSLSocket, grpclib whether `ssl=` is paths."""

    SSLSocket: tuple[type, ...] = ()
    DefaultVerifyPaths: tuple[type, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get("ssl") is self:
            del sys.modules["ssl"]
        return getattr(import_module("ssl"), name)


@contextmanager
def without_tls() -> Iterator[None]:
    """What is imported inside has `ssl` at its first use. Nothing happens where it is loaded already."""
    if "ssl" in sys.modules:
        yield
        return
    begins = "asyncio" not in sys.modules
    if begins:
        _defer_part()
    door = _Door("ssl")
    sys.modules["ssl"] = door
    try:
        yield
    finally:
        if sys.modules.get("ssl") is door:
            del sys.modules["ssl"]
        if begins and "asyncio" in sys.modules and PART in sys.modules:
            vars(sys.modules["asyncio"])["sslproto"] = sys.modules[PART]


def _defer_part() -> None:
    """`defer` would import the package first, and that the part."""
    package = importlib.util.find_spec("asyncio")
    if package is None or package.origin is None:
        return
    file = Path(package.origin).with_name("sslproto.py")
    spec = importlib.util.spec_from_file_location(PART, file)
    if spec is not None and file.exists():
        put(spec)
