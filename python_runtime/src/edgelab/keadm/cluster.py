"""Talking to the API server from a command that lives for a second."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from edgelab.kube.client import HttpClient

T = TypeVar("T")

KubeConfig = Annotated[
    Path, typer.Option("--kube-config", help="kubeconfig of an administrator", envvar="KUBECONFIG")
]
DEFAULT_KUBE_CONFIG = Path("/root/.kube/config")


def call(kube_config: Path, work: Callable[[HttpClient], Awaitable[T]]) -> T:
    """Open a client, run `work` with it, close it. Raises Fatal for a bad kubeconfig, ApiError otherwise."""
    import asyncio

    return asyncio.run(_call(kube_config, work))


async def _call(kube_config: Path, work: Callable[[HttpClient], Awaitable[T]]) -> T:
    from edgelab.kube.client import HttpClient
    from edgelab.kube.kubeconfig import load

    async with HttpClient(load(kube_config), user_agent="keadm", field_manager="keadm") as client:
        return await work(client)
