"""`keadm init` and `keadm gettoken`: what the cluster must hold before an edge node can join."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Failure, Format, Output, progress, report

if TYPE_CHECKING:
    from edgelab.kube.interface import KubeApi, Obj

NAMESPACE = "kubeedge"
DEFAULT_CONFIG = Path("/etc/kubeedge/config/cloudcore.yaml")
TOKEN_SECRET = "tokensecret"  # noqa: S105 - the name of an object
TOKEN_KEY = "tokendata"  # noqa: S105 - the name of a field


def init(
    *,
    advertise_address: Annotated[
        str, typer.Option("--advertise-address", help="addresses that edges dial, commas between")
    ] = "",
    dns_name: Annotated[
        list[str], typer.Option("--dns-name", "--domainname", help="names that edges dial; repeatable")
    ] = [],  # noqa: B006 - typer copies it
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    kubeedge_version: Annotated[
        str, typer.Option("--kubeedge-version", help="no effect: keadm sets up what it is installed with")
    ] = "",
    settings: Annotated[
        list[str], typer.Option("--set", help="modules.cloudHub.nodeLimit=100, or a value of the chart")
    ] = [],  # noqa: B006
    profile: Annotated[str, typer.Option("--profile", help="a file with values")] = "",
    manifests: Annotated[
        list[str], typer.Option("--manifests", "--files", "-f", help="more manifests to apply; repeatable")
    ] = [],  # noqa: B006
    config_file: Annotated[Path, typer.Option("--config", help="cloudcore.yaml to write")] = DEFAULT_CONFIG,
    image_repository: Annotated[str, typer.Option("--image-repository", hidden=True)] = "",
    external_helm_root: Annotated[str, typer.Option("--external-helm-root", hidden=True)] = "",
    skip_preflight: Annotated[
        bool, typer.Option("--skip-preflight-checks", help="do not look whether it can work")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="go on although a port is taken")] = False,
    start: Annotated[bool, typer.Option(help="start CloudCore and wait until it serves")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="seconds to wait for CloudCore")] = 60.0,
    cluster_only: Annotated[
        bool, typer.Option("--cluster-only", help="only the namespace and the CRDs; nothing on this host")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-d", "--check", help="tell what would be done and change nothing")
    ] = False,
    output: Output = Format.text,
) -> None:
    """Prepare the cluster and run CloudCore on this host.

    Namespace, CRDs, authority and certificate, cloudcore.yaml, the unit; then CloudCore is started and
    waited for. Every step looks whether it is done already; a second run changes nothing.
    """
    from edgelab.keadm import helm, initialising, machine
    from edgelab.keadm.joining import version_note
    from edgelab.keadm.setting import parse
    from edgelab.settings.document import merge

    def work() -> Answer:
        if external_helm_root:
            raise Failure("--external-helm-root: there is no Helm chart here; give settings with --set")
        given, notes = helm.profile(profile)
        own, more = helm.settings(parse(settings))
        notes = [*version_note(kubeedge_version), *notes, *more]
        notes += (
            [f"--image-repository {image_repository} has no effect: no image"] if image_repository else []
        )
        request = initialising.Request(
            kube_config=kube_config,
            addresses=[part.strip() for part in advertise_address.split(",") if part.strip()],
            names=[part.strip() for text in dns_name for part in text.split(",") if part.strip()],
            config=config_file,
            settings=merge(given, own),
            manifests=manifests,
            preflight=not skip_preflight,
            force=force,
            start=start,
            timeout=timeout,
            dry_run=dry_run,
            notes=notes,
        )
        return initialising.run(request, machine.this(), progress(output))

    report(output, (lambda: initialise(kube_config, check=dry_run)) if cluster_only else work)


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
