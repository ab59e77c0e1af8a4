"""`keadm token`: join tokens for one node and one use."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgelab.keadm.cloud import NAMESPACE
from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Failure, Format, Output, report

if TYPE_CHECKING:
    from edgelab.cloudcore.cloudhub.tokens import Record
    from edgelab.kube.interface import KubeApi

app = typer.Typer(help="Make, list and revoke join tokens for one node each.", no_args_is_help=True)

Check = Annotated[bool, typer.Option("--check", help="only tell what would change")]
Ttl = Annotated[str, typer.Option("--ttl", help="how long it is good: 30m, 24h, 7d")]
DEFAULT_TTL = "24h"


@app.command()
def create(
    *,
    node: Annotated[str, typer.Option("--node", help="name of the node that it is for")],
    ttl: Ttl = DEFAULT_TTL,
    rotate: Annotated[bool, typer.Option("--rotate", help="revoke the node's other tokens")] = False,
    missing: Annotated[bool, typer.Option("--missing", help="only when the node has none")] = False,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Make a token with which this node, and no other, can join once. It is shown now and never again."""
    from edgelab.keadm.checks import duration, node_name

    def work() -> Answer:
        name, life = node_name(node), duration(ttl)
        return call(
            kube_config, lambda api: _create(api, name, life, rotate=rotate, missing=missing, check=check)
        )

    report(output, work)


@app.command("list")
def show(
    node: Annotated[str, typer.Option("--node", help="only the tokens of this node")] = "",
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    output: Output = Format.text,
) -> None:
    """List tokens that were made: id, node, state, times. Never the token itself."""
    report(output, lambda: call(kube_config, lambda api: _list(api, node)))


@app.command()
def delete(
    *,
    token_id: Annotated[list[str], typer.Option("--id", help="id of a token; repeatable")] = [],  # noqa: B006 - typer copies it
    node: Annotated[str, typer.Option("--node", help="all tokens of this node")] = "",
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Revoke tokens that have not been used. A node that joined keeps its certificate."""

    def work() -> Answer:
        if not token_id and not node:
            raise Failure("say which: --id ID, or --node NAME for all tokens of a node")
        return call(kube_config, lambda api: _delete(api, set(token_id), node, check=check))

    report(output, work)


async def mint(api: KubeApi, node: str, life: dt.timedelta) -> tuple[Record, str]:
    """Make a token for a node, and clear away records that nobody needs any more."""
    from edgelab.cloudcore.cloudhub.tokens import TokenLedger
    from edgelab.keadm import authority

    ca = await authority.load(api)
    ledger = TokenLedger(api, NAMESPACE)
    await ledger.prune()
    return await ledger.mint(ca, node, life)


async def _create(
    api: KubeApi, node: str, life: dt.timedelta, *, rotate: bool, missing: bool, check: bool
) -> Answer:
    from edgelab.cloudcore.cloudhub.tokens import TokenLedger
    from edgelab.keadm import authority

    await authority.load(api)
    ledger = TokenLedger(api, NAMESPACE)
    others = [record for record in await ledger.records(node) if record.state(_now()) == "outstanding"]
    told: dict[str, Any] = {"node": node, "token": "", "id": "", "expires": "", "revoked": []}
    if others and missing:
        last = _entry(others[-1])
        told |= {"changed": False, "id": last["id"], "expires": last["expires"]}
        return Answer(told, f"node {node} has a token already: {last['id']}, good until {last['expires']}")
    revoked = [record.id for record in others] if rotate else []
    told |= {"changed": True, "revoked": revoked}
    if check:
        return Answer(told, f"a token for node {node} would be made")
    if rotate:
        for record in others:
            await ledger.revoke(record)
    record, text = await mint(api, node, life)
    told |= {"token": text, "id": record.id, "expires": _entry(record)["expires"]}
    return Answer(told, text)


async def _list(api: KubeApi, node: str) -> Answer:
    from edgelab.cloudcore.cloudhub.tokens import TokenLedger

    entries = [_entry(record) for record in await TokenLedger(api, NAMESPACE).records(node)]
    columns = ("id", "node", "state", "expires", "used")
    lines = ["  ".join(f"{entry[column]:<20}" for column in columns).rstrip() for entry in entries]
    head = "  ".join(f"{column.upper():<20}" for column in columns).rstrip()
    return Answer({"changed": False, "tokens": entries}, "\n".join([head, *lines]))


async def _delete(api: KubeApi, ids: set[str], node: str, *, check: bool) -> Answer:
    from edgelab.cloudcore.cloudhub.tokens import TokenLedger

    ledger = TokenLedger(api, NAMESPACE)
    records = await ledger.records(node)
    if unknown := ids - {record.id for record in records}:
        raise Failure(f"no such token: {', '.join(sorted(unknown))}; see `keadm token list`")
    chosen = [
        record
        for record in records
        if (not ids or record.id in ids) and record.state(_now()) == "outstanding"
    ]
    revoked = [record.id for record in chosen if check or await ledger.revoke(record)]
    lines = [f"token {identifier} is revoked" for identifier in revoked]
    return Answer({"changed": bool(revoked), "revoked": revoked}, "\n".join(lines) or "nothing to revoke")


def _entry(record: Record) -> dict[str, str]:
    from edgelab.daemon.clock import rfc3339

    return {
        "id": record.id,
        "node": record.node,
        "state": record.state(_now()),
        "created": rfc3339(record.created),
        "expires": rfc3339(record.expires),
        "used": rfc3339(record.used) if record.used else "",
        "revoked": rfc3339(record.revoked) if record.revoked else "",
    }


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
