"""`keadm diagnose node|cloud|install`: what is wrong here, by stable code, and how to put it right.

Nothing is changed. The exit status says whether the diagnosis could be made, not whether all is well.
The codes, and the checks of the host that Ansible's module `edge_doctor` adds: docs/reference/doctor.md.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig
from edgelab.keadm.join import DEFAULT_CONFIG, DEFAULT_RUNTIME, read_token, split_address
from edgelab.keadm.report import Answer, Format, Output, report

app = typer.Typer(help="Find out what is wrong, and how to put it right.", no_args_is_help=True)

CLOUD_CONFIG = Path("/etc/kubeedge/config/cloudcore.yaml")


@app.command("node")
def diagnose_node(
    config_file: Annotated[Path, typer.Option("--config", "-c", help="edgecore.yaml")] = DEFAULT_CONFIG,
    name: Annotated[str, typer.Option("--node", help="the name that the node is to have")] = "",
    output: Output = Format.text,
) -> None:
    """Examine this edge node: configuration, certificate, join token, container runtime, leftovers."""
    from edgelab.keadm import diagnose_node as work
    from edgelab.keadm.diagnose_findings import answer

    report(output, lambda: answer(*work.diagnose(config_file, name)))


@app.command("pod")
def diagnose_pod(
    name: Annotated[str, typer.Argument(help="the pod; without it all of the namespace")] = "",
    *,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="its namespace")] = "default",
    config_file: Annotated[Path, typer.Option("--config", "-c", help="edgecore.yaml")] = DEFAULT_CONFIG,
    output: Output = Format.text,
) -> None:
    """Examine a pod of this node by what EdgeCore has stored of it; the cloud is not asked."""
    from edgelab.keadm import diagnose_pod as work
    from edgelab.keadm import machine
    from edgelab.keadm.debug_get import configured
    from edgelab.keadm.diagnose_findings import answer

    def run() -> Answer:
        host = machine.this()
        database = host.path(configured(host.path(config_file)))
        return answer(work.diagnose(database, namespace, name), {})

    report(output, run)


@app.command("cloud")
def diagnose_cloud(
    *,
    config_file: Annotated[Path, typer.Option("--config", help="cloudcore.yaml")] = CLOUD_CONFIG,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    certport: Annotated[int, typer.Option("--certport", "-s", help="CloudCore's HTTPS port")] = 10002,
    address: Annotated[
        list[str], typer.Option("--address", help="an address that edge nodes use; repeatable")
    ] = [],  # noqa: B006 - typer copies it
    node: Annotated[
        list[str], typer.Option("--node", help="an edge node that there has to be; repeatable")
    ] = [],  # noqa: B006
    cluster: Annotated[bool, typer.Option(help="look at nodes and pods as well")] = True,
    output: Output = Format.text,
) -> None:
    """Examine this cloud host: configuration, certificates, join token, and the edge nodes in the API."""
    from edgelab.keadm import diagnose_cloud as work
    from edgelab.keadm.diagnose_findings import answer

    request = work.Request(config_file, kube_config, certport, address, node, cluster)
    report(output, lambda: answer(*work.diagnose(request)))


@app.command("install")
def diagnose_install(
    *,
    cloudcore_ipport: Annotated[
        str, typer.Option("--cloudcore-ipport", "-e", help="address of CloudCore, host:10000")
    ],
    edgenode_name: Annotated[str, typer.Option("--edgenode-name", "-i", help="default: the host name")] = "",
    token_file: Annotated[
        str, typer.Option("--token-file", help="file with the join token, - for stdin; without it no token")
    ] = "",
    certport: Annotated[int, typer.Option("--certport", "-s", help="CloudCore's HTTPS port")] = 10002,
    remote_runtime_endpoint: Annotated[
        str, typer.Option("--remote-runtime-endpoint", "-p", help="socket of the container runtime")
    ] = DEFAULT_RUNTIME,
    output: Output = Format.text,
) -> None:
    """Examine whether this host can join: name, token, CloudCore's ports and CA, container runtime."""
    from edgelab.keadm import diagnose_install as work
    from edgelab.keadm.diagnose_findings import answer

    def checks() -> work.Request:
        host, port = split_address(cloudcore_ipport)
        token = read_token(token_file) if token_file else ""
        return work.Request(
            host,
            port,
            certport,
            edgenode_name or socket.gethostname().lower(),
            token,
            remote_runtime_endpoint,
        )

    report(output, lambda: answer(work.diagnose(checks()), {}))
