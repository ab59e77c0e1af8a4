"""`keadm rollout`: wait until what was applied runs, and say why it does not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Failure, Format, Output, report

if TYPE_CHECKING:
    from edgelab.keadm.rollouts import Wanted
    from edgelab.kube.interface import Resource


def rollout(
    *,
    daemonset: Annotated[list[str], typer.Option("--daemonset", help="namespace/name; repeatable")] = [],  # noqa: B006 - typer copies it
    deployment: Annotated[list[str], typer.Option("--deployment", help="namespace/name; repeatable")] = [],  # noqa: B006
    api_service: Annotated[list[str], typer.Option("--api-service", help="name; repeatable")] = [],  # noqa: B006
    timeout: Annotated[float, typer.Option(min=0, help="seconds")] = 300.0,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    output: Output = Format.text,
) -> None:
    """Wait until DaemonSets and Deployments have all their pods, and API services answer."""
    report(output, lambda: _wait(kube_config, daemonset, deployment, api_service, timeout))


def _wait(
    kube_config: Path, daemonset: list[str], deployment: list[str], api_service: list[str], seconds: float
) -> Answer:
    from edgelab.keadm.rollouts import API_SERVICES, Wanted, wait
    from edgelab.kube.resources import DAEMON_SETS, DEPLOYMENTS

    wanted = [
        *(_named(DAEMON_SETS, text) for text in daemonset),
        *(_named(DEPLOYMENTS, text) for text in deployment),
        *(Wanted(API_SERVICES, name) for name in api_service),
    ]
    found = call(kube_config, lambda api: wait(api, wanted, seconds=seconds))
    data = [
        {
            "kind": one.wanted.resource.kind,
            "namespace": one.wanted.namespace,
            "name": one.wanted.name,
            "ready": not one.reason,
            "reason": one.reason,
        }
        for one in found
    ]
    if waiting := [f"{one.title}: {one.reason}" for one in found if one.reason]:
        raise Failure(f"not ready after {seconds:.0f} s: {' | '.join(waiting)}", changed=False, objects=data)
    return Answer({"changed": False, "objects": data}, "\n".join(f"{one.title} is ready" for one in found))


def _named(resource: Resource, text: str) -> Wanted:
    """An object by `namespace/name`. Raises Failure."""
    from edgelab.keadm.rollouts import Wanted

    namespace, _, name = text.partition("/")
    if not (namespace and name):
        raise Failure(f"{text!r}: expected namespace/name, such as kube-system/coredns")
    return Wanted(resource, name, namespace)
