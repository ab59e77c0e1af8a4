"""`keadm kubeconfig`: let a program into the cluster as its service account, and as nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Failure, Format, Output, report

if TYPE_CHECKING:
    from edgelab.kube.client import HttpClient
    from edgelab.kube.interface import Obj
    from edgelab.kube.kubeconfig import Kubeconfig

TIMEOUT = 30.0


def kubeconfig(
    *,
    account: Annotated[str, typer.Option("--service-account", help="NAMESPACE/NAME of the account")],
    file: Annotated[Path, typer.Option("--file", help="kubeconfig to write, mode 0600")],
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    timeout: Annotated[float, typer.Option(help="seconds to wait for the token")] = TIMEOUT,
    check: Annotated[bool, typer.Option("--check", help="only tell whether the file would change")] = False,
    output: Output = Format.text,
) -> None:
    """Write a kubeconfig with the token of a service account, out of the Secret of its name."""
    report(output, lambda: write(account, file, kube_config, seconds=timeout, check=check))


def write(account: str, file: Path, kube_config: Path, *, seconds: float, check: bool) -> Answer:
    """Write the file where it differs. Raises Failure for an account without a token."""
    from edgelab.keadm.files import is_private, write_private
    from edgelab.kube.kubeconfig import load
    from edgelab.settings.document import dump

    namespace, _, name = account.partition("/")
    if not namespace or not name or "/" in name:
        raise Failure(f"--service-account {account!r}: expected NAMESPACE/NAME")
    secret = call(kube_config, lambda api: token_of(api, namespace, name, seconds=0 if check else seconds))
    if secret is None:
        return Answer({"changed": True, "file": str(file)}, f"{file} would be written")
    text = dump(document(load(kube_config), name, secret))
    same = file.exists() and file.read_text(encoding="utf-8") == text and is_private(file)
    if not same and not check:
        write_private(file, text)
    state = "unchanged" if same else "would be written" if check else "written"
    return Answer({"changed": not same, "file": str(file)}, f"{file} {state}")


async def token_of(api: HttpClient, namespace: str, name: str, *, seconds: float) -> Obj | None:
    """The Secret's data once the cluster filled it in; with no time to wait, None for one that is not there.

    Raises Failure when there is none in time.
    """
    from edgelab.daemon.clock import SYSTEM
    from edgelab.keadm.polling import until

    async def look() -> Obj:
        return await _data_of(api, namespace, name)

    data = await until(lambda data: "token" in data, look, seconds=seconds, clock=SYSTEM)
    if "token" in data:
        return data
    if not seconds:
        return None
    raise Failure(
        f"secret {namespace}/{name} holds no token: make it of type kubernetes.io/service-account-token"
        f" with the annotation kubernetes.io/service-account.name: {name}"
    )


async def _data_of(api: HttpClient, namespace: str, name: str) -> Obj:
    from edgelab.kube.resources import SECRETS
    from edgelab.objects.status import ApiError

    try:
        data: Obj = (await api.get(SECRETS, name, namespace)).get("data") or {}
    except ApiError as error:
        if error.code != 404:
            raise
        return {}
    return data


def document(administrator: Kubeconfig, name: str, secret: Obj) -> Obj:
    """The same cluster as the administrator's, another user."""
    import base64

    cluster: Obj = {"server": administrator.server}
    if administrator.tls_server_name:
        cluster["tls-server-name"] = administrator.tls_server_name
    if administrator.insecure:
        cluster["insecure-skip-tls-verify"] = True
    elif administrator.ca_pem:
        cluster["certificate-authority-data"] = base64.b64encode(administrator.ca_pem).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": name, "user": {"token": base64.b64decode(secret["token"]).decode()}}],
        "contexts": [{"name": name, "context": {"cluster": "cluster", "user": name}}],
        "current-context": name,
    }
