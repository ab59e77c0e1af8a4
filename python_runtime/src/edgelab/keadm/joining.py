"""The steps of `keadm join` (KubeEdge `keadm/cmd/keadm/app/cmd/edge/join.go`)."""

from __future__ import annotations

import datetime as dt
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgelab import KUBEEDGE_VERSION
from edgelab.daemon.clock import rfc3339
from edgelab.identity import token
from edgelab.keadm import preflight, units
from edgelab.keadm.checks import endpoint
from edgelab.keadm.config import Component, step
from edgelab.keadm.diagnose_tunnel import unreached
from edgelab.keadm.files import write_private
from edgelab.keadm.machine import Machine, run_script
from edgelab.keadm.nodes import parse_labels
from edgelab.keadm.report import Answer, Failure
from edgelab.keadm.runtime_config import (
    CONTAINERD_CONFIG,
    DOCKER_CONFIG,
    cgroup_driver,
    docker_cgroup_driver,
)
from edgelab.keadm.steps import Report, Step, Tell, needed
from edgelab.settings.document import merge

DAEMON = "edgecore"
TUNNEL_PORT = 10004


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; `port` is the hub's (UDP with `quic`), `certport` the HTTPS one.

    `token` reads the token, and is called only by a host that has not joined; `notes` are words that
    have no effect here, each with the reason.
    """

    host: str
    port: int
    certport: int
    node_name: str
    node_ip: str
    token: Callable[[], str]
    runtime: str
    cgroup_driver: str
    labels: list[str]
    config: Path
    start: bool
    timeout: float
    quic: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    image_repository: str = ""
    certificates: str = ""
    pre_run: str = ""
    post_run: str = ""
    preflight: bool = True
    replace: bool = False
    dry_run: bool = False
    notes: list[str] = field(default_factory=list)


def run(request: Request, machine: Machine, tell: Tell) -> Answer:
    """Join. Raises Failure naming the step that failed and what to do."""
    report = Report(request.dry_run, tell)
    for note in request.notes:
        report.warn(note)
    config = machine.path(request.config)
    joined = joined_as(machine, config)
    secret = "" if joined == request.node_name else request.token()
    examine(request, machine, secret, joined)
    if request.pre_run and not request.dry_run:
        run_script(request.pre_run, "pre")
    driver = request.cgroup_driver or runtime_driver(request, machine)[0] or "cgroupfs"
    wanted = overrides(request, driver, fresh=not config.exists())
    report.run([step(Component.edgecore, config, wanted)])
    data = {"config": str(config), "node": request.node_name, "started": request.start}
    unwritten = request.dry_run and not config.exists()
    settings = planned(wanted) if unwritten else load_settings(config)
    bootstrap = machine.path(settings.edgelab.bootstrapFile)
    report.run([hand_over(bootstrap, secret)])
    if broker := broker_problem(settings.modules.eventBus):
        report.warn(broker)
    if tunnel := tunnel_problem(settings.modules.edgeStream):
        report.warn(tunnel)
    if not request.start:
        return report.answer(f"{config} and {bootstrap} are written; start edgecore to join", **data)
    report.run([units.runtime(machine, DAEMON), units.unit(machine, DAEMON), units.environment(machine)])
    causes = ("configuration", "token", "runtime", "unit", "environment")
    report.run(units.start(machine, DAEMON, report, after=causes))
    report.run([certificate(machine, settings, request.timeout), put_away(bootstrap)])
    if request.post_run and not request.dry_run:
        run_script(request.post_run, "post")
    return report.answer(f"node {request.node_name} has its certificate and joins {request.host}", **data)


def examine(request: Request, machine: Machine, secret: str, joined: str) -> None:
    """Look at this host, the token and CloudCore before anything is changed. Raises Failure."""
    if request.start:
        machine.must_be_root("keadm join")
    if joined and joined != request.node_name:
        raise Failure(f"this host is node {joined!r} already: join as {joined}, or `keadm reset edge` first")
    if not request.preflight:
        return
    found, source = runtime_driver(request, machine)
    socket_path = machine.path(request.runtime.removeprefix("unix://"))
    preflight.gather(
        [
            preflight.architecture,
            lambda: check_token(secret, request.node_name, time.time),
            lambda: preflight.own_address(request.node_ip),
            lambda: preflight.runtime(socket_path),
            lambda: preflight.cgroups(request.cgroup_driver, found, source),
            # Of UDP nothing tells whether a port is open but the connection itself.
            preflight.quic
            if request.quic
            else lambda: preflight.port(request.host, request.port, "CloudCore's port"),
            lambda: examine_cloud(request, machine, secret, joined),
        ]
    )


def runtime_driver(request: Request, machine: Machine) -> tuple[str, Path]:
    """The cgroup driver of the container runtime, empty when it is not known, and the file that says so."""
    from edgelab.cri.choice import is_docker

    kind = (request.settings.get("edgelab") or {}).get("runtimeType", "")
    if is_docker(kind, request.runtime):
        source = machine.path(DOCKER_CONFIG)
        return docker_cgroup_driver(source), source
    source = machine.path(CONTAINERD_CONFIG)
    return cgroup_driver(source), source


def examine_cloud(request: Request, machine: Machine, secret: str, joined: str) -> None:
    """What CloudCore's HTTPS port tells. Raises Failure."""
    cloud = preflight.ask(request.host, request.certport, request.node_name)
    where = endpoint(request.host, request.certport)
    authority = machine.path("/etc/kubeedge/ca/rootCA.crt")
    checks: list[Callable[[], None]] = [
        lambda: preflight.clock(cloud, dt.datetime.now(dt.UTC)),
        lambda: preflight.named(cloud, request.host),
        lambda: preflight.same_authority(cloud, secret, authority),
    ]
    if not joined and not request.replace:
        checks.append(lambda: preflight.name_is_free(cloud, request.node_name, where))
    preflight.gather(checks)


def check_token(text: str, node: str, now: Callable[[], float]) -> None:
    """Refuse a token that CloudCore would refuse: one for another node, or one that has ended."""
    claims = token.peek(text) if text else None
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


def joined_as(machine: Machine, config: Path) -> str:
    """The node that this host has a certificate of; empty when it has none that is complete."""
    from edgelab.identity.ca import load_certificate, subject_of
    from edgelab.identity.files import matches
    from edgelab.settings.edgecore import PROGRAM

    if not config.exists():
        return ""
    from edgelab.settings.document import load

    hub = load(config, PROGRAM.defaults(), PROGRAM.migrate).settings.modules.edgeHub
    cert, key = machine.path(hub.tlsCertFile), machine.path(hub.tlsPrivateKeyFile)
    if not matches(cert, key) or not machine.path(hub.tlsCaFile).exists():
        return ""
    return subject_of(load_certificate(cert.read_bytes()))[0].removeprefix("system:node:")


def overrides(request: Request, driver: str, *, fresh: bool) -> dict[str, Any]:
    """The settings that follow from the request; those of --set win.

    A `fresh` file has EdgeStream on, for logs and commands of its pods; one that is there says itself.
    """
    labels, _ = parse_labels(request.labels)
    edged: dict[str, Any] = {
        "hostnameOverride": request.node_name,
        **({"nodeIP": request.node_ip} if request.node_ip else {}),
        "nodeLabels": labels,
        "tailoredKubeletConfig": {"cgroupDriver": driver, "containerRuntimeEndpoint": request.runtime},
    }
    if request.image_repository:
        edged["podSandboxImage"] = f"{request.image_repository.rstrip('/')}/pause:3.6"
    hub: dict[str, Any] = {
        "httpServer": f"https://{endpoint(request.host, request.certport)}",
        "quic" if request.quic else "websocket": {
            "enable": True,
            "server": endpoint(request.host, request.port),
        },
    }
    if request.quic:
        hub["websocket"] = {"enable": False}
    stream: dict[str, Any] = {"server": endpoint(request.host, TUNNEL_PORT)}
    chosen = request.settings.get("modules") or {}
    if fresh and (chosen.get("edged") or {}).get("enable") is not False:
        stream["enable"] = True
    if authority := (chosen.get("edgeHub") or {}).get("tlsCaFile"):
        stream["tlsTunnelCAFile"] = authority
    if request.certificates:
        hub["tlsCertFile"] = stream["tlsTunnelCertFile"] = f"{request.certificates}/server.crt"
        hub["tlsPrivateKeyFile"] = stream["tlsTunnelPrivateKeyFile"] = f"{request.certificates}/server.key"
    wanted = {"modules": {"edged": edged, "edgeHub": hub, "edgeStream": stream}}
    return dict(merge(wanted, request.settings))


def planned(wanted: dict[str, Any]) -> Any:
    """The settings that a configuration would have which a dry run does not write."""
    from edgelab.settings.document import dump, parse
    from edgelab.settings.edgecore import PROGRAM

    return parse(dump(merge(PROGRAM.minimal(), wanted)), PROGRAM.defaults()).settings


def load_settings(path: Path) -> Any:
    """The settings of an edgecore.yaml that has just been validated."""
    from edgelab.settings.commandline import checked
    from edgelab.settings.edgecore import PROGRAM

    return checked(PROGRAM, path, strict=True).settings


def hand_over(bootstrap: Path, secret: str) -> Step:
    """The token, in a file that EdgeCore reads; a host that has joined needs none."""

    def differs() -> bool:
        there = bootstrap.read_text(encoding="utf-8").strip() if bootstrap.exists() else ""
        return bool(secret) and there != secret

    do = needed(f"the join token goes into {bootstrap}", when=differs)
    return Step("token", do, lambda: write_private(bootstrap, secret + "\n"))


def certificate(machine: Machine, settings: Any, seconds: float) -> Step:
    """Wait until EdgeCore has written its certificate files."""
    hub = settings.modules.edgeHub
    files = [machine.path(name) for name in (hub.tlsCaFile, hub.tlsCertFile, hub.tlsPrivateKeyFile)]

    def problem() -> str:
        missing = ", ".join(str(path) for path in files if not path.exists())
        return f"there is no {missing}: see `journalctl -u edgecore -n 20`" if missing else ""

    return units.wait("certificate", "wait for the node's certificate", problem, seconds)


def put_away(bootstrap: Path) -> Step:
    """The token has been used."""
    look = needed(f"{bootstrap} is removed", when=bootstrap.exists)
    return Step("token away", look, lambda: bootstrap.unlink(missing_ok=True))


def tunnel_problem(stream: Any) -> str:
    """Why logs and commands will not reach this node; empty when they will, or are not to."""
    if not stream.enable:
        return ""
    problem = unreached(stream.server)
    return problem and (
        f"{problem}: `kubectl logs` and `exec` do not reach this node (modules.cloudStream.enable of"
        " CloudCore and its firewall, or here --set modules.edgeStream.enable=false)"
    )


def broker_problem(bus: Any) -> str:
    """Why the external MQTT broker cannot be used; empty when it can, or is not to be."""
    if not bus.enable or bus.mqttMode == 0:
        return ""
    where = urlsplit(bus.mqttServerExternal)
    port = where.port or (1883 if where.scheme in ("tcp", "mqtt") else 8883)
    try:
        socket.create_connection((where.hostname or "", port), timeout=2).close()
    except OSError as error:
        return (
            f"no MQTT broker at {where.hostname}:{port} ({error.strerror or error}): devices and mappers need"
            " one (--set modules.eventBus.mqttMode=0 for EdgeCore's own, apt install mosquitto, or"
            " --set modules.eventBus.mqttServerExternal=tcp://...)"
        )
    return ""


def version_note(wanted: str) -> list[str]:
    """A word on --kubeedge-version: what is installed is what keadm comes with."""
    if not wanted or wanted.removeprefix("v") == KUBEEDGE_VERSION.removeprefix("v"):
        return []
    return [
        f"--kubeedge-version {wanted} has no effect: this keadm sets up what it is installed with, which is"
        f" compatible with KubeEdge {KUBEEDGE_VERSION}"
    ]
