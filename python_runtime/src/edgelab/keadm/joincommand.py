"""`keadm join-command`: one line to paste on a host that is to become a node."""

from __future__ import annotations

import datetime as dt
import ipaddress
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Failure, Format, Output, report
from edgelab.keadm.token import DEFAULT_TTL, Check, Ttl, mint

if TYPE_CHECKING:
    from edgelab.kube.interface import KubeApi, Obj

PLACEHOLDER = "TOKEN"
ALIVE_SECONDS = 40.0
"""A node whose lease is younger than its leaseDurationSeconds is there."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The node that is to come, and where it finds CloudCore; empty texts are found out."""

    node: str
    node_ip: str
    cloudcore: str
    hub_port: int
    certport: int
    replace: bool = False
    """A new machine takes the place of one that is gone: the Node, its pods and labels stay."""


def join_command(
    *,
    node: Annotated[str, typer.Option("--node", help="name of the node that is to come")],
    node_ip: Annotated[str, typer.Option("--node-ip", help="its address; checked against the cluster")] = "",
    cloudcore: Annotated[
        str, typer.Option("--cloudcore", help="CloudCore's address; default: the first in its certificate")
    ] = "",
    hub_port: Annotated[int, typer.Option("--hub-port", help="CloudCore's WebSocket port")] = 10000,
    certport: Annotated[int, typer.Option("--certport", help="CloudCore's HTTPS port")] = 10002,
    ttl: Ttl = DEFAULT_TTL,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="the node is there, its machine is gone: take its place"),
    ] = False,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Print the line with which this node joins, with a token for it alone that is good once.

    The line hands the token over on stdin; it is in no process's arguments.
    """
    from edgelab.keadm.checks import address, duration, node_name

    def work() -> Answer:
        own = address(node_ip, "--node-ip") if node_ip else ""
        wish = Wish(node_name(node), own, cloudcore, hub_port, certport, replace)
        life = duration(ttl)
        return call(kube_config, lambda api: _answer(api, wish, life, check=check))

    report(output, work)


async def _answer(api: KubeApi, wish: Wish, life: dt.timedelta, *, check: bool) -> Answer:
    from edgelab.daemon.clock import rfc3339

    await check_is_free(api, wish)
    host = await cloudcore_host(api, wish.cloudcore)
    data = {"changed": True, "node": wish.node, "cloudcore": host, "id": "", "expires": ""}
    if check:
        return Answer({**data, "command": line(wish, host, PLACEHOLDER)}, line(wish, host, PLACEHOLDER))
    record, token = await mint(api, wish.node, life)
    command = line(wish, host, token)
    data |= {"command": command, "id": record.id, "expires": rfc3339(record.expires)}
    return Answer(data, command)


def line(wish: Wish, host: str, token: str) -> str:
    """The line. `printf` is part of the shell, so the token is no process's argument."""
    from edgelab.keadm.checks import endpoint

    words = ["keadm", "join", "--cloudcore-ipport", endpoint(host, wish.hub_port)]
    words += ["--edgenode-name", wish.node]
    words += ["--node-ip", wish.node_ip] if wish.node_ip else []
    words += ["--certport", str(wish.certport)] if wish.certport != 10002 else []
    words += ["--replace"] if wish.replace else []
    return f"printf '%s\\n' {shlex.quote(token)} | {shlex.join([*words, '--token-file', '-'])}"


async def check_is_free(api: KubeApi, wish: Wish) -> None:
    """Refuse a name or an address that a node of the cluster has. Raises Failure."""
    from edgelab.kube.resources import NODES

    for node in (await api.list(NODES)).items:
        name = node["metadata"]["name"]
        if name == wish.node:
            await _check_can_replace(api, wish)
        elif wish.node_ip and wish.node_ip in addresses_of(node):
            raise Failure(
                f"address {wish.node_ip} belongs to node {name!r} already: give the host another address, or"
                f" remove that node first (keadm node delete --name {name})",
                field="node_ip",
            )


async def _check_can_replace(api: KubeApi, wish: Wish) -> None:
    from edgelab.keadm.nodes import heard_of

    age = await heard_of(api, wish.node)
    if age is not None and age <= ALIVE_SECONDS:
        raise Failure(
            f"a node {wish.node!r} is in the cluster and alive, it renewed its lease {max(age, 0):.0f} s ago:"
            " choose another name, or take that host out first (keadm reset edge there)",
            field="node",
        )
    if not wish.replace:
        last = "has never renewed its lease" if age is None else f"renewed its lease {age:.0f} s ago"
        raise Failure(
            f"a node {wish.node!r} is in the cluster already and {last}: add --replace if a new machine takes"
            f" its place, choose another name, or remove it first (keadm node delete --name {wish.node})",
            field="node",
        )


def addresses_of(node: Obj) -> list[str]:
    """The addresses that a Node reports."""
    found = (node.get("status") or {}).get("addresses") or []
    return [entry.get("address", "") for entry in found if entry.get("type") in ("InternalIP", "ExternalIP")]


async def cloudcore_host(api: KubeApi, wanted: str) -> str:
    """The address that edges dial, which CloudCore's certificate must name. Raises Failure."""
    from edgelab.keadm.authority import server_names

    addresses, names = await server_names(api)
    known = [address for address in addresses if not ipaddress.ip_address(address).is_loopback]
    known += [name for name in names if name != "localhost"]
    if not known or (wanted and wanted not in addresses + names):
        raise Failure(
            f"CloudCore's certificate does not name {wanted or 'any address'}, only"
            f" {', '.join(known) or 'nothing'}: add it with `keadm cert ensure`",
            field="cloudcore",
        )
    return wanted or known[0]
