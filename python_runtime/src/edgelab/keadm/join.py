"""`keadm join`: make this host an edge node."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgelab.keadm.report import Answer, Failure, Format, Output, report

STDIN = "-"
DEFAULT_RUNTIME = "unix:///run/containerd/containerd.sock"
DEFAULT_CONFIG = Path("/etc/kubeedge/config/edgecore.yaml")


def join(
    *,
    cloudcore_ipport: Annotated[
        str, typer.Option("--cloudcore-ipport", "-e", help="address of CloudCore, host:10000")
    ],
    edgenode_name: Annotated[str, typer.Option("--edgenode-name", "-i", help="default: the host name")] = "",
    node_ip: Annotated[
        str, typer.Option("--node-ip", help="address of this node, one that the host has")
    ] = "",
    token_file: Annotated[
        str, typer.Option("--token-file", help="file with the join token, - for stdin")
    ] = STDIN,
    certport: Annotated[int, typer.Option("--certport", "-s", help="CloudCore's HTTPS port")] = 10002,
    remote_runtime_endpoint: Annotated[
        str, typer.Option("--remote-runtime-endpoint", "-p", help="socket of the container runtime")
    ] = DEFAULT_RUNTIME,
    cgroupdriver: Annotated[str, typer.Option("--cgroupdriver", help="cgroupfs or systemd")] = "cgroupfs",
    label: Annotated[list[str], typer.Option("--label", "-l", help="node label key=value; repeatable")] = [],  # noqa: B006 - typer copies it
    config_file: Annotated[Path, typer.Option("--config", help="edgecore.yaml to write")] = DEFAULT_CONFIG,
    start: Annotated[bool, typer.Option(help="start EdgeCore and wait until it has its certificate")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="seconds to wait for the certificate")] = 60.0,
    output: Output = Format.text,
) -> None:
    """Write edgecore.yaml, hand over the join token, start EdgeCore and wait for its certificate.

    The token is read from a file or stdin, never from the command line, which every user could see.
    """
    from edgelab.keadm.checks import address, node_name
    from edgelab.keadm.joining import Request, run

    def work() -> Answer:
        host, port = split_address(cloudcore_ipport)
        request = Request(
            host=host,
            port=port,
            certport=certport,
            node_name=node_name(edgenode_name or socket.gethostname().lower()),
            node_ip=address(node_ip, "--node-ip") if node_ip else "",
            token=read_token(token_file),
            runtime=remote_runtime_endpoint,
            cgroup_driver=cgroupdriver,
            labels=label,
            config=config_file,
            start=start,
            timeout=timeout,
        )
        return run(request)

    report(output, work)


def read_token(source: str) -> str:
    """The join token. Raises Failure when it has not the four parts of one."""
    text = sys.stdin.read() if source == STDIN else Path(source).read_text(encoding="utf-8")
    token = text.strip()
    if token.count(".") != 3:
        where = "stdin" if source == STDIN else source
        raise Failure(f"{where} holds no join token (four parts joined by dots): see `keadm gettoken`")
    return token


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises Failure."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise Failure(f"--cloudcore-ipport {text!r}: expected host:port, for example 192.168.1.10:10000")
    return host.strip("[]"), int(port)
