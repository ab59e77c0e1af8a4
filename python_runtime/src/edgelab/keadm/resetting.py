"""The steps of `keadm reset` (KubeEdge `keadm/cmd/keadm/app/cmd/edge/reset.go`, `cloud/reset.go`)."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelab.keadm import pods, units
from edgelab.keadm.cloud import NAMESPACE
from edgelab.keadm.cluster import call
from edgelab.keadm.machine import Machine, run_script
from edgelab.keadm.report import Answer, Failure
from edgelab.keadm.steps import Report, Step, Tell, needed

if TYPE_CHECKING:
    from edgelab.kube.interface import KubeApi

EDGE_CONFIG = "/etc/kubeedge/config/edgecore.yaml"
CLOUD_CONFIG = "/etc/kubeedge/config/cloudcore.yaml"
DATABASE = "/var/lib/kubeedge/edgecore.db"
KUBELET = "/var/lib/kubelet"
SHARED = ("/etc/kubeedge", "/var/lib/kubeedge", "/var/log/kubeedge")
"""Directories of both sides: they go when the other side is not on this host."""
EDGE = (
    *(EDGE_CONFIG, "/etc/kubeedge/ca", "/etc/kubeedge/certs", "/etc/kubeedge/manifests"),
    *("/etc/kubeedge/bootstrap-edgecore.conf", "/etc/kubeedge/dmi.sock", "/etc/kubeedge/backup"),
    *(DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "/var/lib/edged", f"{KUBELET}/pods"),
    *(f"{DATABASE}.copy", f"{DATABASE}.reserve", "/etc/systemd/logind.conf.d/99-edgecore.conf"),
    *(f"{DATABASE}.damaged", f"{DATABASE}.damaged-wal", f"{DATABASE}.damaged-shm"),
)
CLOUD = (CLOUD_CONFIG, "/etc/kubeedge/cloudcore.kubeconfig", "/var/lib/kubeedge/kubeedge.sock")


@dataclass(frozen=True, slots=True)
class Request:
    """`sides` are `edge` and `cloud`, or one of them, or none when there is nothing here."""

    sides: list[str]
    endpoint: str
    kube_config: Path
    pre_run: str = ""
    post_run: str = ""
    dry_run: bool = False


def found_on(machine: Machine) -> list[str]:
    """Which sides are on this host, by their configuration or unit."""
    both = {"edge": ("edgecore", EDGE_CONFIG), "cloud": ("cloudcore", CLOUD_CONFIG)}
    return [
        side
        for side, (daemon, config) in both.items()
        if machine.path(config).exists() or units.unit_path(machine, daemon).exists()
    ]


def run(request: Request, machine: Machine, tell: Tell) -> Answer:
    """Take the sides off. Raises Failure naming the step that failed."""
    machine.must_be_root("keadm reset")
    report = Report(request.dry_run, tell)
    if not request.sides:
        return report.answer("neither EdgeCore nor CloudCore is on this host", sides=[])
    if request.pre_run and not request.dry_run:
        run_script(request.pre_run, "pre")
    alone = set(found_on(machine)) <= set(request.sides)
    if "edge" in request.sides:
        edge(request, machine, report)
    if "cloud" in request.sides:
        cloud(request, machine, report)
    if alone:
        report.run([remove(machine, "directories", SHARED)])
    if request.post_run and not request.dry_run:
        run_script(request.post_run, "post")
    left = "; the Node object stays in the cluster (keadm node delete --name NODE)"
    hint = left if "edge" in request.sides else ""
    return report.answer(f"{' and '.join(request.sides)} taken off this host{hint}", sides=request.sides)


def edge(request: Request, machine: Machine, report: Report) -> None:
    """EdgeCore, its pods and its files."""
    report.run([units.stop(machine, "edgecore")])
    try:
        report.run([take_pods(request.endpoint or configured_runtime(machine), machine)])
    except Failure as failure:
        report.warn(f"{failure}; pods that are left: `crictl pods`")
    root = machine.path(f"{KUBELET}/pods")
    report.run([unmount(root), remove(machine, "edge files", EDGE), unit_away(machine, "edgecore")])


def cloud(request: Request, machine: Machine, report: Report) -> None:
    """CloudCore, its namespace and its files."""
    report.run([units.stop(machine, "cloudcore")])
    if request.kube_config.is_file():
        report.run([namespace(request.kube_config)])
    else:
        where = f"there is no {request.kube_config} (--kube-config)"
        report.warn(f"{where}: the namespace {NAMESPACE} was left alone")
    report.run([remove(machine, "cloud files", CLOUD), unit_away(machine, "cloudcore")])


def configured_runtime(machine: Machine) -> str:
    """The runtime's socket by edgecore.yaml; containerd's when that says nothing or cannot be read."""
    from edgelab.settings.document import ConfigError, load
    from edgelab.settings.edgecore import PROGRAM

    defaults = PROGRAM.defaults()
    try:
        settings = load(machine.path(EDGE_CONFIG), defaults, PROGRAM.migrate).settings
    except ConfigError:
        settings = defaults
    return str(settings.modules.edged.tailoredKubeletConfig.containerRuntimeEndpoint)


def take_pods(endpoint: str, machine: Machine) -> Step:
    """Sandboxes of pods; beside a kubelet only those that EdgeCore's database knows."""
    socket = machine.path(endpoint.removeprefix("unix://"))
    beside = machine.path(f"{KUBELET}/config.yaml").exists()
    database = machine.path(DATABASE) if beside else None

    def look() -> str:
        if not socket.is_socket():
            return ""
        found = pods.remove_pods(f"unix://{socket}", database, check=True).data["pods"]
        return f"removed: {', '.join(found)}" if found else ""

    def do() -> None:
        pods.remove_pods(f"unix://{socket}", database, check=False)

    return Step("pods", look, do)


def unmount(root: Path) -> Step:
    """Volumes of pods that are still mounted, the innermost first."""

    def look() -> str:
        found = mounted_below(root)
        return f"unmounted: {', '.join(found)}" if found else ""

    def do() -> None:
        umount = shutil.which("umount") or "/bin/umount"
        for place in mounted_below(root):
            done = subprocess.run([umount, place], capture_output=True, text=True, check=False)  # noqa: S603 - fixed program
            if done.returncode:
                raise Failure(f"{place} stays mounted: {done.stderr.strip()}; see who uses it with fuser -m")

    return Step("volumes", look, do)


def mounted_below(root: Path, table: Path = Path("/proc/self/mountinfo")) -> list[str]:
    """Mount points below a directory, the innermost first."""
    points = [line.split()[4] for line in table.read_text(encoding="utf-8").splitlines()]
    decoded = [point.encode().decode("unicode_escape") for point in points]
    return sorted((point for point in decoded if Path(point).is_relative_to(root)), key=len, reverse=True)


def remove(machine: Machine, name: str, paths: tuple[str, ...]) -> Step:
    """Files and directories."""

    def there() -> list[Path]:
        return [path for path in map(machine.path, paths) if path.exists() or path.is_symlink()]

    def look() -> str:
        return f"removed: {', '.join(map(str, there()))}" if there() else ""

    def do() -> None:
        for path in there():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    return Step(name, look, do)


def unit_away(machine: Machine, daemon: str) -> Step:
    """The unit, its drop-ins and its environment."""
    unit = units.unit_path(machine, daemon)
    paths = (str(unit), f"{unit}.d", str(machine.path(f"/etc/default/{daemon}")))
    files = remove(machine, f"unit {daemon}", paths)

    def do() -> None:
        files.do()
        machine.units.do("daemon-reload")

    return Step(files.name, files.look, do)


def namespace(kube_config: Path) -> Step:
    """The namespace with authority, certificate and token."""
    from edgelab.kube.resources import NAMESPACES
    from edgelab.objects.status import ApiError

    async def exists(api: KubeApi) -> bool:
        try:
            found = await api.get(NAMESPACES, NAMESPACE)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return "deletionTimestamp" not in found["metadata"]

    async def delete(api: KubeApi) -> None:
        await api.delete(NAMESPACES, NAMESPACE)

    what = needed(f"{NAMESPACE} with authority and token is deleted", when=lambda: call(kube_config, exists))
    return Step("namespace", what, lambda: call(kube_config, delete))
