"""The steps of `keadm join` (KubeEdge `keadm/cmd/keadm/app/cmd/edge/join.go`)."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgelab.daemon.clock import rfc3339
from edgelab.identity import token
from edgelab.keadm.checks import endpoint
from edgelab.keadm.config import Component, merge_file
from edgelab.keadm.files import write_private
from edgelab.keadm.nodes import parse_labels
from edgelab.keadm.report import Answer, Failure

UNIT = Path("/etc/systemd/system/edgecore.service")
POLL = 0.2


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; `port` is the hub's, `certport` the HTTPS one."""

    host: str
    port: int
    certport: int
    node_name: str
    node_ip: str
    token: str
    runtime: str
    cgroup_driver: str
    labels: list[str]
    config: Path
    start: bool
    timeout: float


def run(request: Request) -> Answer:
    """Join. Raises Failure naming the step that failed and what to do."""
    check_token(request.token, request.node_name, time.time)
    check_address(request.node_ip)
    check_host(request)
    check_name_is_free(request)
    merge_file(Component.edgecore, request.config, overrides(request), check=False)
    settings = load_settings(request.config)
    bootstrap = Path(settings.edgelab.bootstrapFile)
    write_private(bootstrap, request.token + "\n")
    data = {"changed": True, "config": str(request.config), "started": request.start}
    if not request.start:
        return Answer(data, f"{request.config} and {bootstrap} are written; start edgecore to join")
    start_service()
    hub = settings.modules.edgeHub
    wait_for_files([Path(hub.tlsCaFile), Path(hub.tlsCertFile), Path(hub.tlsPrivateKeyFile)], request.timeout)
    bootstrap.unlink(missing_ok=True)
    return Answer(data, f"node {request.node_name} has its certificate and joins {request.host}")


def check_token(text: str, node: str, now: Callable[[], float]) -> None:
    """Refuse a token that CloudCore would refuse: one for another node, or one that has ended."""
    claims = token.peek(text)
    if claims is None:
        return  # not for us to judge: CloudCore knows its tokens
    if claims.node and claims.node != node:
        raise Failure(
            f"the token is for node {claims.node!r}, and this node is to be {node!r}: join as"
            f" {claims.node}, or take a token for {node} (keadm token create --node {node})"
        )
    if claims.expires.timestamp() <= now():
        raise Failure(
            f"the token expired at {rfc3339(claims.expires)}: take a new one, or set this host's clock"
        )


def check_address(address: str) -> None:
    """Refuse an address that this host does not have."""
    if not address:
        return
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError as error:
            raise Failure(f"--node-ip {address}: this host has no such address ({error.strerror})") from None


def check_host(request: Request) -> None:
    """Refuse a host on which EdgeCore runs or no container runtime answers."""
    if request.start and _systemctl("is-active", "--quiet", "edgecore").returncode == 0:
        raise Failure("edgecore runs on this host already: stop it first (systemctl stop edgecore)")
    socket_path = Path(request.runtime.removeprefix("unix://"))
    if not socket_path.is_socket():
        raise Failure(f"no container runtime at {socket_path}: start containerd or name another endpoint")


def check_name_is_free(request: Request) -> None:
    """Ask CloudCore whether the name is taken, unauthenticated, as KubeEdge's keadm does."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the CA arrives with the join; the token then pins it
    where = endpoint(request.host, request.certport)
    connection = http.client.HTTPSConnection(where, timeout=10, context=context)
    try:
        connection.request("GET", f"/node/{request.node_name}")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"CloudCore does not answer at https://{where}: {error}") from error
    finally:
        connection.close()
    if status == 200:
        raise Failure(
            f"a node {request.node_name!r} exists already: choose another name, or delete it first "
            f"(kubectl delete node {request.node_name})"
        )
    if status != 404:
        raise Failure(f"https://{where}/node/{request.node_name} answered {status} instead of 404")


def overrides(request: Request) -> dict[str, Any]:
    """The settings that follow from the request."""
    labels, _ = parse_labels(request.labels)
    address = {"nodeIP": request.node_ip} if request.node_ip else {}
    return {
        "modules": {
            "edged": {
                "hostnameOverride": request.node_name,
                **address,
                "nodeLabels": labels,
                "tailoredKubeletConfig": {
                    "cgroupDriver": request.cgroup_driver,
                    "containerRuntimeEndpoint": request.runtime,
                },
            },
            "edgeHub": {
                "httpServer": f"https://{endpoint(request.host, request.certport)}",
                "websocket": {"enable": True, "server": endpoint(request.host, request.port)},
            },
            "edgeStream": {"server": endpoint(request.host, 10004)},
        }
    }


def load_settings(path: Path) -> Any:
    """The settings of an edgecore.yaml that has just been validated."""
    from edgelab.settings.commandline import checked
    from edgelab.settings.edgecore import PROGRAM

    return checked(PROGRAM, path, strict=True).settings


def start_service() -> None:
    """Install the unit when there is none, enable and start it. Raises Failure with systemd's words."""
    if shutil.which("systemctl") is None:
        raise Failure("there is no systemd here: start `edgecore` yourself, or use --no-start")
    if not UNIT.exists():
        unit = files("edgelab").joinpath("data", "systemd", "edgecore.service")
        UNIT.write_text(unit.read_text(encoding="utf-8"), encoding="utf-8")
        _systemctl("daemon-reload")
    done = _systemctl("enable", "--now", "edgecore")
    if done.returncode:
        raise Failure(f"edgecore did not start: {done.stderr.strip()}; see journalctl -u edgecore")


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemctl") or "/bin/false"
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=90)  # noqa: S603 - fixed program and words


def wait_for_files(paths: list[Path], timeout: float) -> None:
    """Wait until EdgeCore has written its certificate files. Raises Failure naming what is missing."""
    deadline = time.monotonic() + timeout
    while missing := [path for path in paths if not path.exists()]:
        if time.monotonic() >= deadline:
            names = ", ".join(map(str, missing))
            raise Failure(f"no {names} after {timeout:.0f} s: see journalctl -u edgecore")
        time.sleep(POLL)
