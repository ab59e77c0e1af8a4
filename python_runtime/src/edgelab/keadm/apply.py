"""`keadm apply`: bring objects of the cluster to what manifests say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Failure, Format, Output, report

if TYPE_CHECKING:
    from edgelab.keadm.applying import Applied
    from edgelab.kube.client import HttpClient
    from edgelab.kube.interface import Obj

CRD_TIMEOUT = 30.0


def apply(
    files: Annotated[list[str], typer.Option("--filename", "-f", help="manifest, directory, or - for stdin")],
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Annotated[bool, typer.Option("--check", help="only tell what would change")] = False,
    off_edge: Annotated[
        bool, typer.Option("--off-edge", help="keep their DaemonSets and Deployments off edge nodes")
    ] = False,
    output: Output = Format.text,
) -> None:
    """Create objects, or change them where they differ from the manifests (JSON merge patch)."""
    report(output, lambda: apply_files(kube_config, files, check=check, off_edge=off_edge))


def apply_files(kube_config: Path, files: list[str], *, check: bool, off_edge: bool = False) -> Answer:
    """Apply every manifest of `files`."""
    from edgelab.keadm.manifests import read
    from edgelab.objects.placement import all_off_edge

    objects = [obj for file in files for obj in read(file)]
    if off_edge:
        objects = all_off_edge(objects)
    return answer(call(kube_config, lambda api: apply_all(api, objects, check=check)))


def answer(done: list[Applied]) -> Answer:
    """The answer of `apply` and `init`."""
    lines = [f"{one.kind.lower()}/{one.name} {one.action}" for one in done]
    changed = any(one.action != "unchanged" for one in done)
    return Answer({"changed": changed, "objects": [one.summary() for one in done]}, "\n".join(lines))


async def apply_all(api: HttpClient, objects: list[Obj], *, check: bool) -> list[Applied]:
    """Apply in the order given, except that namespaces and CRDs come first and CRDs are waited for.

    Raises ApiError, and Failure for a kind that nobody serves.
    """
    from edgelab.keadm.applying import apply_object, established
    from edgelab.keadm.manifests import Kinds

    kinds = Kinds(api, objects)
    done = []
    new_crds: list[str] = []
    for obj in sorted(objects, key=order):
        if new_crds and obj["kind"] != "CustomResourceDefinition":
            await _wait_for(new_crds, await established(api, new_crds, seconds=CRD_TIMEOUT))
            new_crds = []
        applied = await apply_object(api, await kinds.resource(obj), obj, check=check)
        done.append(applied)
        if obj["kind"] == "CustomResourceDefinition" and applied.action != "unchanged" and not check:
            new_crds.append(applied.name)
    if new_crds:
        await _wait_for(new_crds, await established(api, new_crds, seconds=CRD_TIMEOUT))
    return done


async def _wait_for(names: list[str], missing: list[str]) -> None:
    if missing:
        raise Failure(f"not established after {CRD_TIMEOUT:.0f} s: {', '.join(missing)}", names=names)


def order(obj: Obj) -> int:
    """Namespaces and definitions are made before what needs them."""
    return {"Namespace": 0, "CustomResourceDefinition": 1}.get(obj["kind"], 2)
