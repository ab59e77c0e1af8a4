"""`keadm init` and `keadm gettoken`: what the cluster must hold before an edge node can join."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Failure, Format, Output, report

if TYPE_CHECKING:
    from edgelab.kube.interface import KubeApi, Obj

NAMESPACE = "kubeedge"
TOKEN_SECRET = "tokensecret"  # noqa: S105 - the name of an object
TOKEN_KEY = "tokendata"  # noqa: S105 - the name of a field


def init(
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Annotated[bool, typer.Option("--check", help="only tell what would change")] = False,
    output: Output = Format.text,
) -> None:
    """Create the namespace `kubeedge` and KubeEdge's CRDs, and wait until they are served."""
    report(output, lambda: initialise(kube_config, check=check))


def initialise(kube_config: Path, *, check: bool) -> Answer:
    """Apply namespace and CRDs; `applied` names what was created or changed."""
    from edgelab.keadm.apply import answer, apply_all

    objects = [namespace_object(), *crds()]
    done = call(kube_config, lambda api: apply_all(api, objects, check=check))
    told = answer(done)
    applied = [one.name for one in done if one.action != "unchanged"]
    return Answer({**told.data, "applied": applied}, told.text)


def namespace_object() -> Obj:
    """The namespace that CloudCore's secrets live in."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def crds() -> list[Obj]:
    """The CustomResourceDefinitions that this release brings. Raises Failure when the wheel lacks them."""
    from edgelab.keadm.manifests import parse

    found = []
    for file in sorted(files("edgelab").joinpath("data", "crds").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith((".yaml", ".yml")):
            found += parse(file.read_text(encoding="utf-8"), file.name)
    if not found:
        raise Failure("this installation holds no CRDs (edgelab/data/crds): install the wheel again")
    return found


def gettoken(kube_config: KubeConfig = DEFAULT_KUBE_CONFIG, output: Output = Format.text) -> None:
    """Print the token with which edge nodes join (Secret kubeedge/tokensecret)."""
    report(output, lambda: read_token(kube_config))


def read_token(kube_config: Path) -> Answer:
    """The join token. Raises Failure when CloudCore has not made one."""

    async def get(api: KubeApi) -> Obj:
        from edgelab.kube.resources import SECRETS

        return await api.get(SECRETS, TOKEN_SECRET, NAMESPACE)

    from edgelab.objects.status import ApiError

    try:
        secret = call(kube_config, get)
    except ApiError as error:
        if error.code != 404:
            raise
        raise Failure("there is no join token yet: CloudCore makes it when it starts") from None
    encoded = (secret.get("data") or {}).get(TOKEN_KEY, "")
    if not encoded:
        raise Failure(f"the secret {NAMESPACE}/{TOKEN_SECRET} has no {TOKEN_KEY}: restart CloudCore")
    token = base64.b64decode(encoded).decode()
    return Answer({"token": token}, token)
