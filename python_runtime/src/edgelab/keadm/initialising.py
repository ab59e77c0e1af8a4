"""The steps of `keadm init`: the cluster, certificates, cloudcore.yaml, CloudCore as a unit of this host."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from edgelab.keadm import preflight, units
from edgelab.keadm.checks import address as checked_address
from edgelab.keadm.checks import endpoint
from edgelab.keadm.cluster import call
from edgelab.keadm.config import Component, step
from edgelab.keadm.files import is_private, write_private
from edgelab.keadm.machine import Machine
from edgelab.keadm.report import Answer, Failure
from edgelab.keadm.steps import Report, Step, Tell, needed
from edgelab.settings.document import merge

if TYPE_CHECKING:
    from edgelab.kube.interface import KubeApi

DAEMON = "cloudcore"
OWN_KUBECONFIG = "/etc/kubeedge/cloudcore.kubeconfig"
HOMES = (Path("/root"), Path("/home"))
"""What the unit cannot see (ProtectHome=)."""
INLINE = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for. Without `addresses` the one is taken that other hosts see."""

    kube_config: Path
    addresses: list[str]
    names: list[str]
    config: Path
    settings: dict[str, Any] = field(default_factory=dict)
    manifests: list[str] = field(default_factory=list)
    preflight: bool = True
    force: bool = False
    start: bool = True
    timeout: float = 60.0
    dry_run: bool = False
    notes: list[str] = field(default_factory=list)


def run(request: Request, machine: Machine, tell: Tell) -> Answer:
    """Initialise. Raises Failure naming the step that failed and what to do."""
    report = Report(request.dry_run, tell)
    for note in request.notes:
        report.warn(note)
    addresses = [checked_address(text, "--advertise-address") for text in request.addresses]
    addresses = addresses or [own_address()]
    config = machine.path(request.config)
    wanted = overrides(request, machine, addresses, fresh=not config.exists())
    examine(request, machine, config, wanted)
    report.run([*cluster(request), certificates(request.kube_config, addresses, request.names)])
    kept = kubeconfig(request, machine)
    report.run([*kept, step(Component.cloudcore, config, wanted)])
    data = {"config": str(config), "addresses": addresses, "started": request.start}
    if not request.start:
        return report.answer(f"{config} is written; start cloudcore", **data)
    report.run([units.runtime(machine, DAEMON), units.unit(machine, DAEMON)])
    causes = ("certificates", "kubeconfig", "configuration", "runtime", "unit")
    report.run(units.start(machine, DAEMON, report, after=causes))
    settings = load_settings(config, wanted)
    report.run([units.wait("ready", "wait until CloudCore serves", healthy(settings), request.timeout)])
    hub = endpoint(addresses[0], settings.modules.cloudHub.websocket.port)
    return report.answer(f"CloudCore serves {hub}; `keadm join-command --node NAME` lets a node join", **data)


def own_address() -> str:
    """The address of this host that others see: that of its way out. Raises Failure when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # nothing is sent: TEST-NET-1 goes by the default route
        except OSError:
            raise Failure("this host has no default route: say --advertise-address ADDRESS") from None
        return str(sock.getsockname()[0])


def overrides(request: Request, machine: Machine, addresses: list[str], *, fresh: bool) -> dict[str, Any]:
    """The settings that follow from the request; those of --set and --profile win.

    A `fresh` file has CloudStream on, for logs and commands of edge nodes; one that is there says itself.
    """
    hub: dict[str, Any] = {"advertiseAddress": addresses, "dnsNames": request.names}
    modules: dict[str, Any] = {"cloudHub": hub}
    if fresh:
        modules["cloudStream"] = {"enable": True}
        # The authority lies in a Secret; files of an EdgeCore on this host would be taken for CloudCore's.
        hub |= dict.fromkeys(("tlsCAFile", "tlsCAKeyFile", "tlsCertFile", "tlsPrivateKeyFile"), "")
    hidden = is_hidden(request.kube_config)
    path = machine.path(OWN_KUBECONFIG) if hidden else request.kube_config.absolute()
    own = {"kubeAPIConfig": {"kubeConfig": str(path)}}
    return dict(merge({**own, "modules": modules}, request.settings))


def is_hidden(kube_config: Path) -> bool:
    """Whether the unit could not read it."""
    return any(kube_config.absolute().is_relative_to(home) for home in HOMES)


def examine(request: Request, machine: Machine, config: Path, wanted: dict[str, Any]) -> None:
    """Look at this host and the cluster before anything is changed. Raises Failure."""
    if request.start:
        machine.must_be_root("keadm init")
    if not request.preflight:
        return
    checks: list[Callable[[], None]] = [preflight.architecture, lambda: api_answers(request.kube_config)]
    if request.start and not machine.units.active(DAEMON) and not request.force:
        modules = load_settings(config, wanted).modules
        ports = [modules.cloudHub.websocket.port, modules.cloudHub.https.port]
        ports += [modules.cloudStream.tunnelPort] if modules.cloudStream.enable else []
        checks += [partial(port_is_free, port) for port in ports]
    preflight.gather(checks)


def api_answers(kube_config: Path) -> None:
    """Refuse a cluster that does not answer. Raises Failure."""
    from edgelab.kube.resources import NAMESPACES
    from edgelab.objects.status import ApiError

    if not kube_config.is_file():
        raise Failure(f"there is no kubeconfig {kube_config}: name the administrator's with --kube-config")

    async def ask(api: KubeApi) -> None:
        await api.get(NAMESPACES, "default")

    try:
        call(kube_config, ask)
    except ApiError as error:
        if error.code != 404:
            raise Failure(
                f"the API server refuses the user of {kube_config} ({error.message}): keadm init needs an"
                " administrator's kubeconfig"
            ) from None


def port_is_free(port: int) -> None:
    """Refuse a port that somebody else has. Raises Failure."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port))
        except OSError as error:
            raise Failure(
                f"port {port} is taken ({error.strerror}) and CloudCore's unit does not run: see who has it"
                f" (ss -ltnp sport = :{port}), or choose another with --set"
            ) from None


def cluster(request: Request) -> list[Step]:
    """Namespace and CRDs, and manifests of the user's own."""
    from edgelab.keadm.apply import apply_files
    from edgelab.keadm.cloud import initialise

    def step(name: str, what: str, work: Callable[[bool], Answer]) -> Step:
        def look() -> str:
            data = work(True).data
            changed = [
                f"{one['kind']} {one['name']}" for one in data["objects"] if one["action"] != "unchanged"
            ]
            return f"{what}: {', '.join(changed)}" if changed else ""

        return Step(name, look, lambda: _void(work(False)))

    steps = [step("cluster", "applied", lambda check: initialise(request.kube_config, check=check))]
    files = request.manifests
    if files:
        steps.append(
            step("manifests", "applied", lambda check: apply_files(request.kube_config, files, check=check))
        )
    return steps


def certificates(kube_config: Path, addresses: list[str], names: list[str]) -> Step:
    """The authority, and a certificate of CloudCore that names all addresses."""
    from edgelab.keadm import issuing

    wanted = issuing.server_request(addresses, names, None, None)

    def ensure(*, check: bool) -> Answer:
        return call(kube_config, lambda api: issuing.ensure(api, wanted, check=check))

    def look() -> str:
        replaced = ensure(check=True).data["replaced"]
        return f"new in the Secrets: {', '.join(replaced)}" if replaced else ""

    return Step("certificates", look, lambda: _void(ensure(check=False)))


def kubeconfig(request: Request, machine: Machine) -> list[Step]:
    """A copy for the unit, which does not see homes; files that it names come into it."""
    if not is_hidden(request.kube_config):
        return []
    path = machine.path(OWN_KUBECONFIG)
    text = flattened(request.kube_config)

    def differs() -> bool:
        return not path.exists() or path.read_text(encoding="utf-8") != text or not is_private(path)

    what = needed(f"{request.kube_config} is copied to {path}", when=differs)
    return [Step("kubeconfig", what, lambda: write_private(path, text))]


def flattened(path: Path) -> str:
    """A kubeconfig with the files that it names in it. Raises Failure for one that is not there."""
    from edgelab.settings.document import dump, read_yaml

    document = read_yaml(path.read_text(encoding="utf-8"), str(path))
    entries = [entry.get("cluster") or {} for entry in document.get("clusters") or []]
    entries += [entry.get("user") or {} for entry in document.get("users") or []]
    for entry in entries:
        for key, data in INLINE.items():
            if name := entry.pop(key, ""):
                entry[data] = base64.b64encode((path.absolute().parent / name).read_bytes()).decode()
    return dump(document)


def load_settings(config: Path, wanted: dict[str, Any]) -> Any:
    """The settings of cloudcore.yaml with what is wanted on top, written or not."""
    from edgelab.settings.cloudcore import PROGRAM
    from edgelab.settings.document import dump, parse, read_yaml

    there = read_yaml(config.read_text(encoding="utf-8"), str(config)) if config.exists() else {}
    return parse(dump(merge(there, wanted)), PROGRAM.defaults(), migrate=PROGRAM.migrate).settings


def healthy(settings: Any) -> Callable[[], str]:
    """Why CloudCore does not serve yet; nothing when it does."""
    urls = (
        f"http://{settings.commonConfig.monitorServer.bindAddress}/healthz",
        f"https://127.0.0.1:{settings.modules.cloudHub.https.port}/ca.crt",
    )
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is asked whether it serves, and nothing is taken from it

    def problem() -> str:
        for url in urls:
            try:
                urlopen(HttpRequest(url), timeout=5, context=context if url[4] == "s" else None).close()  # noqa: S310
            except (URLError, OSError) as error:
                return f"{url} does not answer ({error}): see `journalctl -u cloudcore -n 20`"
        return ""

    return problem


def _void(_: object) -> None:
    """Throw a result away."""
