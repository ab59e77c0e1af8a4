"""`keadm join`: make this host an edge node."""

from __future__ import annotations

import base64
import binascii
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgelab.keadm.report import Answer, Failure, Format, Output, progress, report

STDIN = "-"
DEFAULT_RUNTIME = "unix:///run/containerd/containerd.sock"
DOCKER, DOCKER_SOCKET = "docker", "unix:///var/run/docker.sock"
QUIC = "quic"
DEFAULT_CONFIG = Path("/etc/kubeedge/config/edgecore.yaml")
DEFAULT_CERTIFICATES = "/etc/kubeedge/certs"
ON_ARGV = (
    "--token shows the token to every user of this host who lists processes: `--token-file FILE`, or"
    " `--token-file -` and the token on stdin, does not"
)
DryRun = Annotated[bool, typer.Option("--dry-run", "-d", help="tell what would be done and change nothing")]
Settings = Annotated[
    list[str], typer.Option("--set", help="a setting, modules.eventBus.mqttMode=2; commas between several")
]
PreRun = Annotated[str, typer.Option("--pre-run", help="script to run before")]
PostRun = Annotated[str, typer.Option("--post-run", help="script to run after")]


def join(
    *,
    cloudcore_ipport: Annotated[
        str, typer.Option("--cloudcore-ipport", "-e", help="address of CloudCore, host:10000")
    ],
    edgenode_name: Annotated[str, typer.Option("--edgenode-name", "-i", help="default: the host name")] = "",
    node_ip: Annotated[
        str, typer.Option("--node-ip", help="address of this node, one that the host has")
    ] = "",
    token: Annotated[str, typer.Option("--token", "-t", help="the join token; better: --token-file")] = "",
    token_file: Annotated[
        str, typer.Option("--token-file", help="file with the join token, - for stdin")
    ] = STDIN,
    certport: Annotated[int, typer.Option("--certport", "-s", help="CloudCore's HTTPS port")] = 10002,
    kubeedge_version: Annotated[
        str, typer.Option("--kubeedge-version", help="no effect: keadm sets up what it is installed with")
    ] = "",
    remote_runtime_endpoint: Annotated[
        str, typer.Option("--remote-runtime-endpoint", "-p", help="socket of the container runtime")
    ] = DEFAULT_RUNTIME,
    runtimetype: Annotated[
        str, typer.Option("--runtimetype", "-r", help="remote: CRI; docker: the Docker Engine API")
    ] = "remote",
    cgroupdriver: Annotated[
        str, typer.Option("--cgroupdriver", help="cgroupfs or systemd; default: the container runtime's")
    ] = "",
    cert_path: Annotated[
        str, typer.Option("--certPath", help="directory of the node's certificate")
    ] = DEFAULT_CERTIFICATES,
    label: Annotated[
        list[str], typer.Option("--labels", "--label", "-l", help="node labels key=value; repeatable")
    ] = [],  # noqa: B006 - typer copies it
    image_repository: Annotated[
        str, typer.Option("--image-repository", help="where pods' sandbox image comes from")
    ] = "",
    hub_protocol: Annotated[
        str, typer.Option("--hub-protocol", help="websocket, or quic to a CloudCore of ours")
    ] = "websocket",
    settings: Settings = [],  # noqa: B006
    tarballpath: Annotated[str, typer.Option("--tarballpath", help="no effect: nothing is downloaded")] = "",
    with_mqtt: Annotated[bool, typer.Option("--with-mqtt", hidden=True)] = False,
    pre_run: PreRun = "",
    post_run: PostRun = "",
    skip_preflight: Annotated[
        bool, typer.Option("--skip-preflight-checks", help="do not look whether it can work")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="take the place of a node of this name whose machine is gone")
    ] = False,
    config_file: Annotated[Path, typer.Option("--config", help="edgecore.yaml to write")] = DEFAULT_CONFIG,
    start: Annotated[bool, typer.Option(help="start EdgeCore and wait until it has its certificate")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="seconds to wait for the certificate")] = 60.0,
    dry_run: DryRun = False,
    output: Output = Format.text,
) -> None:
    """Write edgecore.yaml, hand over the join token, start EdgeCore and wait for its certificate.

    Every step looks whether it is done already; a second run changes nothing. Give the token in a file or
    on stdin: on the command line every user of the host can see it.
    """
    from edgelab.keadm import machine
    from edgelab.keadm.checks import address
    from edgelab.keadm.joining import Request, run, version_note
    from edgelab.keadm.setting import parse
    from edgelab.settings.document import merge

    def work() -> Answer:
        host, port = split_address(cloudcore_ipport)
        notes = version_note(kubeedge_version)
        notes += [ON_ARGV] if token else []
        notes += ["--tarballpath has no effect: nothing is downloaded"] if tarballpath else []
        notes += ["--with-mqtt has no effect: install mosquitto on the node"] if with_mqtt else []
        check_words(runtimetype, hub_protocol)
        own = {"edgelab": {"runtimeType": DOCKER}} if runtimetype == DOCKER else {}
        request = Request(
            host=host,
            port=port,
            quic=hub_protocol == QUIC,
            certport=certport,
            node_name=chosen_name(edgenode_name),
            node_ip=address(node_ip, "--node-ip") if node_ip else "",
            token=lambda: checked_token(token, "--token") if token else read_token(token_file),
            runtime=endpoint_of(runtimetype, remote_runtime_endpoint),
            cgroup_driver=cgroupdriver,
            labels=[part for text in label for part in text.split(",")],
            config=config_file,
            start=start,
            timeout=timeout,
            settings=merge(own, parse(settings)),
            image_repository=image_repository,
            certificates="" if cert_path == DEFAULT_CERTIFICATES else cert_path.rstrip("/"),
            pre_run=pre_run,
            post_run=post_run,
            preflight=not skip_preflight,
            replace=replace,
            dry_run=dry_run,
            notes=notes,
        )
        return run(request, machine.this(), progress(output))

    report(output, work)


def chosen_name(wanted: str) -> str:
    """The node's name: the one asked for, or the host's. Raises Failure."""
    from edgelab.keadm.checks import node_name

    if wanted:
        return node_name(wanted)
    own = socket.gethostname().lower()
    try:
        return node_name(own)
    except Failure as failure:
        raise Failure(
            f"this host's name cannot be a node's ({failure}): --edgenode-name NAME, or hostnamectl"
            " set-hostname NAME"
        ) from None


def check_words(runtime: str, protocol: str) -> None:
    """Refuse what cannot be had here. Raises Failure."""
    if runtime not in ("remote", DOCKER):
        raise Failure(f"--runtimetype {runtime}: expected remote (containerd, CRI-O) or docker")
    if protocol not in ("websocket", QUIC):
        raise Failure(f"--hub-protocol {protocol}: expected websocket or quic")


def endpoint_of(runtime: str, endpoint: str) -> str:
    """The runtime's socket: Docker's own when Docker is asked for and no socket is named."""
    return DOCKER_SOCKET if runtime == DOCKER and endpoint == DEFAULT_RUNTIME else endpoint


def read_token(source: str) -> str:
    """The join token. Raises Failure when it has not the four parts of one."""
    if source == STDIN and sys.stdin.isatty():
        raise Failure(
            "there is no join token: --token-file FILE, or `keadm gettoken` of the cloud host piped into this"
        )
    text = sys.stdin.read() if source == STDIN else Path(source).read_text(encoding="utf-8")
    return checked_token(text, "stdin" if source == STDIN else source)


def checked_token(text: str, where: str) -> str:
    """The token without white space. Raises Failure when it has not the four parts of one."""
    token = text.strip()
    if token.count(".") == 3:
        return token
    try:
        inside = base64.b64decode(token, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        inside = ""
    if inside.strip().count(".") == 3:
        raise Failure(
            f"{where} holds the token as its Secret does, in base64: decode it (`... | base64 -d`), or take"
            " it"
            " from `keadm gettoken`"
        )
    raise Failure(f"{where} holds no join token (four parts joined by dots): see `keadm gettoken`")


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises Failure."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise Failure(f"--cloudcore-ipport {text!r}: expected host:port, for example 192.168.1.10:10000")
    return host.strip("[]"), int(port)
