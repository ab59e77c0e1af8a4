"""`keadm cert`: the authority, CloudCore's certificate, and those of edge nodes."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Failure, Format, Output, report

app = typer.Typer(help="List, check, issue and rotate certificates.", no_args_is_help=True)

Check = Annotated[bool, typer.Option("--check", help="only tell what would change")]
Addresses = Annotated[list[str], typer.Option("--address", help="IP address it must name; repeatable")]
Names = Annotated[list[str], typer.Option("--dns-name", help="DNS name that it must name; repeatable")]
Local = Annotated[
    list[Path], typer.Option("--file", help="a certificate file of this host, besides or instead; repeatable")
]


class Where(enum.StrEnum):
    """Where to look."""

    both = "both"
    cluster = "cluster"
    host = "host"


Only = Annotated[Where, typer.Option("--only", help="look into the cluster's Secrets or this host's files")]
EDGE_CONFIG = Path("/etc/kubeedge/config/edgecore.yaml")
EDGE_DAYS = 365


@app.command("list")
def show(
    *,
    file: Local = [],  # noqa: B006 - typer copies it
    config: Annotated[Path, typer.Option("--config", help="edgecore.yaml of this host")] = EDGE_CONFIG,
    only: Only = Where.both,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    output: Output = Format.text,
) -> None:
    """List the cluster's authority, CloudCore's certificate and, on an edge host, its node's."""
    from edgelab.keadm import certificates

    def work() -> Answer:
        found = certificates.gather(*places(only, kube_config, config), file)
        return Answer({"changed": False, "certificates": found}, certificates.table(found))

    report(output, work)


@app.command("check")
def verify(
    *,
    days: Annotated[int, typer.Option("--days", min=0, help="days that each must still be good")] = 30,
    address: Addresses = [],  # noqa: B006 - typer copies it
    dns_name: Names = [],  # noqa: B006
    file: Local = [],  # noqa: B006
    config: Annotated[Path, typer.Option("--config", help="edgecore.yaml of this host")] = EDGE_CONFIG,
    only: Only = Where.both,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    output: Output = Format.text,
) -> None:
    """Fail when a certificate ends too soon, or CloudCore's lacks a wanted address or name."""
    from edgelab.keadm import certificates

    def work() -> Answer:
        found = certificates.gather(*places(only, kube_config, config), file, address, dns_name)
        if problems := certificates.problems(found, days):
            raise Failure("; ".join(problems), certificates=found, problems=problems)
        data = {"changed": False, "certificates": found, "problems": []}
        return Answer(data, f"{len(found)} certificates are good for {days} days and more")

    report(output, work)


def places(only: Where, kube_config: Path, config: Path) -> tuple[Path | None, Path | None]:
    """The kubeconfig and the edgecore.yaml to look by; None for one that is not to be looked at."""
    return (None if only is Where.host else kube_config), (None if only is Where.cluster else config)


@app.command()
def ensure(
    *,
    address: Addresses = [],  # noqa: B006 - typer copies it
    dns_name: Names = [],  # noqa: B006
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="your own authority, PEM or DER")] = None,
    ca_key_file: Annotated[Path | None, typer.Option("--ca-key-file", help="its key (P-256)")] = None,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """See to it that the Secrets hold an authority, and a certificate of CloudCore that names all addresses.

    CloudCore reads them when it starts: restart it when this has changed something.
    """
    from edgelab.keadm import issuing

    def work() -> Answer:
        wanted = issuing.server_request(address, dns_name, ca_file, ca_key_file)
        return call(kube_config, lambda api: issuing.ensure(api, wanted, check=check))

    report(output, work)


@app.command()
def issue(
    *,
    node: Annotated[str, typer.Option("--node", help="name of the node")],
    directory: Annotated[
        Path | None, typer.Option("--directory", help="where ca.crt, server.crt and server.key go, 0600")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, help="how long it is good")] = EDGE_DAYS,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Make a node's certificate and key beforehand, for a host that enrols without a token.

    Without --directory they are in the JSON answer only, which is to be treated like a key.
    """
    from edgelab.keadm import authority, issuing
    from edgelab.keadm.checks import node_name

    def work() -> Answer:
        if directory is None and output is not Format.json:
            raise Failure("say where the files go: --directory DIR")
        name = node_name(node)
        ca = call(kube_config, authority.load)
        return issuing.issue(ca, name, directory, days, check=check)

    report(output, work)


rotate = typer.Typer(help="Replace a certificate or the shared token by a new one.", no_args_is_help=True)
app.add_typer(rotate, name="rotate")


@rotate.command()
def server(
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG, check: Check = False, output: Output = Format.text
) -> None:
    """Make CloudCore a new certificate with a new key, for the same names; restart CloudCore then."""
    from edgelab.keadm import issuing

    report(output, lambda: call(kube_config, lambda api: issuing.rotate_server(api, check=check)))


@rotate.command("token")
def shared_token(
    hours: Annotated[int, typer.Option("--hours", min=1, help="how long it is good")] = 24,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Replace the shared join token. The old one stays good until its own end: it is a signed text."""
    from edgelab.keadm import issuing

    report(output, lambda: call(kube_config, lambda api: issuing.rotate_token(api, hours, check=check)))


@rotate.command()
def edge(
    config: Annotated[Path, typer.Option("--config", help="edgecore.yaml of this host")] = EDGE_CONFIG,
    check: Check = False,
    output: Output = Format.text,
) -> None:
    """Get this host's edge node a new certificate with a new key; restart EdgeCore then."""
    from edgelab.keadm import issuing

    report(output, lambda: issuing.rotate_edge(config, check=check))
