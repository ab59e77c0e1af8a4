"""`keadm off-edge`: keep DaemonSets and Deployments off edge nodes, and tell which of them are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Failure, Format, Output, report

if TYPE_CHECKING:
    from edgelab.keadm.offedging import Choice, Survey, Workload

app = typer.Typer(help="Keep kube-proxy, pod networks and others off edge nodes.", no_args_is_help=True)

DaemonSets = Annotated[
    list[str], typer.Option("--daemonset", help="namespace/name, may hold * and ?; repeatable")
]
Deployments = Annotated[
    list[str], typer.Option("--deployment", help="namespace/name, may hold * and ?; repeatable")
]
Allowed = Annotated[
    list[str], typer.Option("--allow", help="namespace/name of those that may run there; repeatable")
]


@app.command("set")
def set_affinity(
    *,
    daemonset: DaemonSets = ["*/*"],  # noqa: B006 - typer copies it
    deployment: Deployments = [],  # noqa: B006
    allow: Allowed = [],  # noqa: B006
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Annotated[bool, typer.Option("--check", help="only tell what would change")] = False,
    output: Output = Format.text,
) -> None:
    """Require of their pods, beside what is required already, that a node has no label of an edge node."""
    report(output, lambda: _set(kube_config, _choice(daemonset, deployment, allow), check=check))


@app.command()
def verify(
    *,
    daemonset: DaemonSets = ["*/*"],  # noqa: B006
    deployment: Deployments = [],  # noqa: B006
    allow: Allowed = [],  # noqa: B006
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    timeout: Annotated[float, typer.Option(min=0, help="seconds to wait until pods are gone")] = 60.0,
    output: Output = Format.text,
) -> None:
    """Fail naming their pods on edge nodes; name DaemonSets that could come there and are not allowed to."""
    report(output, lambda: _verify(kube_config, _choice(daemonset, deployment, allow), timeout))


def _choice(daemonset: list[str], deployment: list[str], allow: list[str]) -> Choice:
    """The patterns. Raises Failure for one without a namespace."""
    from edgelab.keadm.offedging import Choice

    for pattern in (*daemonset, *deployment, *allow):
        namespace, slash, name = pattern.partition("/")
        if not (namespace and slash and name):
            raise Failure(f"{pattern!r}: expected namespace/name, such as kube-system/kube-proxy or */*")
    return Choice(tuple(daemonset), tuple(deployment), tuple(allow))


def _set(kube_config: Path, choice: Choice, *, check: bool) -> Answer:
    from edgelab.keadm.offedging import keep_off

    seen, done = call(kube_config, lambda api: keep_off(api, choice, check=check))
    changed = any(one.changed for one in done)
    lines = [
        f"{one.resource.kind.lower()} {one.key} {'changed' if one.changed else one.reach}" for one in done
    ]
    return Answer({"changed": changed, **_data(seen, done)}, "\n".join(lines))


def _verify(kube_config: Path, choice: Choice, seconds: float) -> Answer:
    from edgelab.keadm.offedging import wait_off
    from edgelab.kube.resources import DAEMON_SETS
    from edgelab.objects.placement import Reach

    seen, present = call(kube_config, lambda api: wait_off(api, choice, seconds=seconds))
    could = [
        one.key
        for one in seen.workloads
        if one.resource == DAEMON_SETS and one.reach is Reach.open and not choice.permits(one.key)
    ]
    data = {"changed": False, "open": could, **_data(seen, list(seen.workloads))}
    if present:
        told = "; ".join(f"{one.resource.kind} {one.key}: {', '.join(one.pods)}" for one in present)
        raise Failure(f"{sum(len(one.pods) for one in present)} pods on edge nodes: {told}", **data)
    lines = [f"0 pods on {len(seen.nodes)} edge nodes", *(f"could come: {key}" for key in could)]
    return Answer(data, "\n".join(lines))


def _data(seen: Survey, workloads: list[Workload]) -> dict[str, Any]:
    return {"nodes": list(seen.nodes), "workloads": [one.summary() for one in workloads]}
