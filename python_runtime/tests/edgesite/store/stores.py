"""A running store on a real file, for the tests of this folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from edgelab.daemon.clock import SYSTEM
from edgelab.edgesite.store import Key, Store
from edgelab.edgesite.store.retention import History


def key(name: str, namespace: str = "default", bucket: str = "configmaps") -> Key:
    return Key(bucket, namespace, name)


def encoder(value: object, **labels: str) -> Callable[[int], bytes]:
    return lambda revision: json.dumps({"metadata": {"labels": labels, "rv": revision}, "v": value}).encode()


def value(data: bytes) -> Any:
    return json.loads(data)["v"]


def state(store: Store) -> dict[str, Any]:
    """Names and values of the config maps."""
    return {entry.key.name: value(entry.data) for entry in store.entries("configmaps")}


@asynccontextmanager
async def opened(directory: Path, history: History | None = None, **options: Any) -> AsyncIterator[Store]:
    store = Store(directory, options.pop("clock", SYSTEM), history=history or History(), **options)
    task = asyncio.create_task(store.run(), name="store")
    try:
        yield store
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        store.close()
