"""`keadm reset`: take the edge node or CloudCore off this host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig
from edgelab.keadm.join import DryRun, PostRun, PreRun
from edgelab.keadm.report import Answer, Failure, Format, Output, progress, report

app = typer.Typer(help="Take the edge node or CloudCore off this host.")

ENDPOINT = "unix:///run/containerd/containerd.sock"
Runtime = Annotated[
    str, typer.Option("--remote-runtime-endpoint", "-p", help="the runtime's socket; default: as configured")
]
Force = Annotated[bool, typer.Option("--force", help="do not ask")]


@app.callback(invoke_without_command=True)
def reset(
    context: typer.Context,
    *,
    remote_runtime_endpoint: Runtime = "",
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    force: Force = False,
    pre_run: PreRun = "",
    post_run: PostRun = "",
    dry_run: DryRun = False,
    output: Output = Format.text,
) -> None:
    """Take off this host what is on it: the edge node, CloudCore, or both."""
    if context.invoked_subcommand is None:
        _run(None, remote_runtime_endpoint, kube_config, (force, dry_run), (pre_run, post_run), output=output)


@app.command()
def edge(
    *,
    remote_runtime_endpoint: Runtime = "",
    force: Force = False,
    pre_run: PreRun = "",
    post_run: PostRun = "",
    dry_run: DryRun = False,
    output: Output = Format.text,
) -> None:
    """Stop EdgeCore, remove its pods, configuration, certificate, database and unit.

    The Node object stays in the cluster: `keadm node delete --name NODE` on the cloud host.
    """
    scripts = (pre_run, post_run)
    _run("edge", remote_runtime_endpoint, DEFAULT_KUBE_CONFIG, (force, dry_run), scripts, output=output)


@app.command()
def cloud(
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    force: Force = False,
    dry_run: DryRun = False,
    output: Output = Format.text,
) -> None:
    """Stop CloudCore, delete the namespace kubeedge with authority and token, remove configuration and unit.

    CRDs stay, and with them devices and rules.
    """
    _run("cloud", ENDPOINT, kube_config, (force, dry_run), ("", ""), output=output)


@app.command()
def pods(
    remote_runtime_endpoint: Runtime = ENDPOINT,
    database: Annotated[
        Path | None,
        typer.Option(help="only pods that this EdgeCore's database knows, for a host with a kubelet"),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="only tell what would go")] = False,
    output: Output = Format.text,
) -> None:
    """Only the pods: stop and remove their sandboxes with their containers, and release their addresses."""
    from edgelab.keadm.pods import remove_pods

    report(output, lambda: remove_pods(remote_runtime_endpoint, database, check=check))


def _run(
    side: str | None,
    endpoint: str,
    kube_config: Path,
    flags: tuple[bool, bool],
    scripts: tuple[str, str],
    *,
    output: Format,
) -> None:
    from edgelab.keadm import machine, resetting

    force, dry_run = flags

    def work() -> Answer:
        host = machine.this()
        sides = [side] if side else resetting.found_on(host)
        if not force and not dry_run:
            confirm(sides, output)
        request = resetting.Request(sides, endpoint, kube_config, *scripts, dry_run)
        return resetting.run(request, host, progress(output))

    report(output, work)


def confirm(sides: list[str], output: Format) -> None:
    """Ask, unless nobody can answer. Raises Failure."""
    if not sides:
        return
    what = " and ".join(sides)
    if output is Format.json:
        raise Failure(f"a reset of {what} removes keys and databases: say --force")
    if not typer.confirm(f"This removes {what} with keys and databases from this host. Go on?"):
        raise Failure("nothing was touched")
