"""`keadm node`: read, wait for, register, label, taint, cordon, drain and delete nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Failure, Format, Output, report

if TYPE_CHECKING:
    from edgelab.keadm.nodes import Node
    from edgelab.kube.interface import KubeApi

app = typer.Typer(help="Read and change Node objects.", no_args_is_help=True)

Name = Annotated[str, typer.Option("--name", help="name of the node")]
Check = Annotated[bool, typer.Option("--check", help="only tell what would change")]
Labels = Annotated[list[str], typer.Option("--label", help="key=value, or key- to remove it; repeatable")]
Taints = Annotated[
    list[str], typer.Option("--taint", help="key[=value]:Effect, or key[:Effect]- to remove; repeatable")
]


@app.command()
def get(name: Name, kube_config: KubeConfig = DEFAULT_KUBE_CONFIG, output: Output = Format.text) -> None:
    """Tell whether a node is there and Ready, and why not."""
    from edgelab.keadm import nodes

    _tell(output, kube_config, lambda api: nodes.find(api, name))


@app.command()
def wait(
    name: Name,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    timeout: Annotated[float, typer.Option(min=0, help="seconds")] = 120.0,
    max_lease_age: Annotated[
        float, typer.Option(min=0, help="insist on a lease renewed within so many seconds; 0: do not look")
    ] = 0.0,
    output: Output = Format.text,
) -> None:
    """Wait until a node is Ready; fails with the reason when it is not in time.

    A node stays Ready for 50 seconds after EdgeCore died; --max-lease-age sees through that.
    """
    from edgelab.keadm import nodes

    def work() -> Answer:
        node = call(
            kube_config,
            lambda api: nodes.wait_ready(api, name, seconds=timeout, lease_age=max_lease_age),
        )
        if not node.ready:
            raise Failure(
                f"node {name} is not Ready after {timeout:.0f} s: {node.reason}",
                ready=False,
                reason=node.reason,
                node=node.object or {},
            )
        return _answer(node)

    report(output, work)


@app.command()
def register(
    *,
    name: Name,
    label: Labels = [],  # noqa: B006 - typer copies it
    taint: Taints = [],  # noqa: B006
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Create a Node object, for an EdgeCore that does not register itself, and set labels and taints."""
    from edgelab.keadm import nodes

    _tell(output, kube_config, lambda api: nodes.register(api, name, label, taint, check=check))


@app.command("label")
def set_labels(
    name: Name,
    label: Labels,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Set or remove labels."""
    from edgelab.keadm import nodes

    _tell(output, kube_config, lambda api: nodes.update(api, name, label, [], check=check))


@app.command("taint")
def set_taints(
    name: Name,
    taint: Taints,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Set or remove taints."""
    from edgelab.keadm import nodes

    _tell(output, kube_config, lambda api: nodes.update(api, name, [], taint, check=check))


@app.command()
def cordon(
    name: Name,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Let no new pods be scheduled to a node."""
    from edgelab.keadm import nodes

    _tell(output, kube_config, lambda api: nodes.cordon(api, name, cordoned=True, check=check))


@app.command()
def uncordon(
    name: Name,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Let pods be scheduled to a node again."""
    from edgelab.keadm import nodes

    _tell(output, kube_config, lambda api: nodes.cordon(api, name, cordoned=False, check=check))


@app.command()
def drain(
    *,
    name: Name,
    timeout: Annotated[float, typer.Option(min=0, help="seconds to wait until pods are gone")] = 120.0,
    force: Annotated[bool, typer.Option("--force", help="evict pods too that nobody makes anew")] = False,
    delete_emptydir_data: Annotated[
        bool, typer.Option("--delete-emptydir-data", help="evict pods too whose emptyDir is lost with them")
    ] = False,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Cordon a node and evict its pods; those of DaemonSets and mirror pods stay. Fails naming what stays."""
    from edgelab.keadm import draining

    limits = draining.Limits(timeout, force=force, emptydir=delete_emptydir_data)

    def work() -> Answer:
        node, evicted = call(kube_config, lambda api: draining.drain(api, name, limits, check=check))
        told = _answer(node)
        return Answer({**told.data, "evicted": evicted}, f"{name}: drained, {len(evicted)} pods evicted")

    report(output, work)


@app.command()
def delete(
    name: Name,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Delete a Node object; what runs on the node is not touched."""
    from edgelab.keadm import nodes

    _tell(output, kube_config, lambda api: nodes.delete(api, name, check=check))


def _tell(output: Format, kube_config: Path, work: Callable[[KubeApi], Awaitable[Node]]) -> None:
    report(output, lambda: _answer(call(kube_config, work)))


def _answer(node: Node) -> Answer:
    data = {
        "changed": node.changed,
        "exists": node.object is not None,
        "ready": node.ready,
        "reason": node.reason,
        "node": node.object or {},
    }
    state = "Ready" if node.ready else f"not Ready: {node.reason}"
    return Answer(data, f"{node.name}: {state}{', changed' if node.changed else ''}")
