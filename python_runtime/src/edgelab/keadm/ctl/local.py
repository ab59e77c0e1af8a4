"""The Kubernetes API of this node: MetaServer, as edgecore.yaml has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from edgelab.daemon.errors import Unreachable
from edgelab.keadm.report import Failure

if TYPE_CHECKING:
    from edgelab.kube.kubeconfig import Kubeconfig
    from edgelab.kube.requesting import RequestClient
    from edgelab.settings.edgecore import EdgeCore

T = TypeVar("T")


def settings(config: Path) -> EdgeCore:
    """The node's settings. Raises Failure without a file, ConfigError for a broken one."""
    from edgelab.settings.commandline import checked
    from edgelab.settings.edgecore import PROGRAM

    if not config.exists():
        raise Failure(f"there is no {config}: this is no edge node, or --config names its edgecore.yaml")
    found: EdgeCore = checked(PROGRAM, config, strict=False).settings
    return found


class Place(NamedTuple):
    """The node's edgecore.yaml, and a ServiceAccount's token where MetaServer asks for one."""

    config: Path
    token_file: Path | None


def ask(place: Place, work: Callable[[RequestClient], Awaitable[T]]) -> T:
    """Run `work` with a client of MetaServer. Raises Failure, ApiError."""
    import asyncio

    from edgelab.kube.kubeconfig import Kubeconfig

    config, token_file = place
    node = settings(config)
    server = node.modules.metaManager.metaServer
    if not server.enable:
        raise Failure(
            f"modules.metaManager.metaServer.enable is false in {config}: `keadm ctl` asks MetaServer;"
            " `keadm debug get` reads the database without it"
        )
    if not node.featureGates.get("requireAuthorization", False):
        return asyncio.run(_ask(Kubeconfig(server=f"http://{server.server}"), work))
    if token_file is None:
        raise Failure("featureGates.requireAuthorization is on: --token-file names a ServiceAccount's token")
    ca = Path(node.edgelab.metaServerDirectory) / "ca.crt"
    pem = ca.read_bytes() if ca.exists() else None
    return asyncio.run(
        _ask(Kubeconfig(server=f"https://{server.server}", ca_pem=pem, token_file=token_file), work)
    )


async def _ask(where: Kubeconfig, work: Callable[[RequestClient], Awaitable[T]]) -> T:
    from edgelab.kube.requesting import RequestClient

    async with RequestClient(where, user_agent="keadm", field_manager="keadm") as client:
        try:
            return await work(client)
        except Unreachable as error:
            text = f"MetaServer at {where.server} does not answer ({error}): does EdgeCore run?"
            raise Failure(text) from None
