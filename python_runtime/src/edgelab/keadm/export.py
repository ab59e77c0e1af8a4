"""`keadm export`: objects of a namespace in the form in which `keadm apply` takes them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Format, Output, report

if TYPE_CHECKING:
    from edgelab.kube.client import HttpClient
    from edgelab.kube.interface import Obj

KEPT_METADATA = ("name", "namespace", "labels", "annotations")
"""The rest of `metadata` is the API server's own, and means nothing to another one."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MADE_BY_THE_CLUSTER = frozenset(("kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"))
"""Types of Secrets that a cluster makes itself, good for this cluster or this hour only."""


def export(
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="namespace of the objects")],
    kind: Annotated[list[str], typer.Option("--kind", help="for example Secret; repeatable")],
    api_version: Annotated[str, typer.Option(help="API version of the kinds")] = "v1",
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    output: Output = Format.text,
) -> None:
    """Print objects with what their author wrote, secrets included, as JSON that `keadm apply` takes."""
    report(
        output,
        lambda: _answer(call(kube_config, lambda api: collect(api, namespace, kind, api_version))),
    )


async def collect(api: HttpClient, namespace: str, kinds: list[str], api_version: str) -> list[Obj]:
    """The objects, by kind and name. Raises Failure for a kind that nobody serves, ApiError."""
    from edgelab.keadm.manifests import Kinds

    served = Kinds(api, [])
    found: list[Obj] = []
    for kind in kinds:
        head = {"apiVersion": api_version, "kind": kind}
        listed = await api.list(await served.resource(head), namespace)
        objects = [{**head, **plain(item)} for item in listed.items if not made_by_the_cluster(item)]
        found += sorted(objects, key=lambda obj: str(obj["metadata"]["name"]))
    return found


def made_by_the_cluster(obj: Obj) -> bool:
    """Whether a controller owns the object, or the cluster made it for itself."""
    return bool(obj["metadata"].get("ownerReferences")) or obj.get("type") in MADE_BY_THE_CLUSTER


def plain(obj: Obj) -> Obj:
    """The object without status and without what the API server added."""
    metadata: dict[str, Any] = {k: v for k, v in obj["metadata"].items() if k in KEPT_METADATA and v}
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {k: v for k, v in annotations.items() if k != LAST_APPLIED}
    rest = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata", "status")}
    return {"metadata": metadata, **rest}


def _answer(objects: list[Obj]) -> Answer:
    import json

    document = {"apiVersion": "v1", "kind": "List", "items": objects}
    return Answer({"objects": objects}, json.dumps(document, ensure_ascii=False, indent=2))
