"""A private containerd for tests: own root, state, socket, network namespace and mount namespace.

The test process itself enters a new network namespace (for the time of the tests) and a new mount
namespace (until it ends), and containerd inherits both. So bridges, addresses, iptables rules and
mounts that containers bring about are gone when the processes are gone; only cgroups need a hand.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[4]
IMAGES = CHECKOUT / ".cache" / "component-images"
REFERENCES = {
    "pause": "edgelab.local/pause:3.9",
    "busybox": "edgelab.local/busybox:1.35",
    "nginx": "edgelab.local/nginx:1.22",
}
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
SHARED = ("/run/netns", "/run/containerd", "/var/lib/cni")

CONFIG = """version = 2
root = "{base}/root"
state = "{base}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{base}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "edgelab.local/pause:3.9"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{base}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""

CNI = {
    "cniVersion": "0.4.0",
    "name": "edgelab-test",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "elt0",
            "isGateway": True,
            "ipMasq": True,
            "ipam": {
                "type": "host-local",
                "dataDir": "",
                "ranges": [[{"subnet": "10.246.0.0/24"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def available() -> str:
    """Why containerd cannot be run here; empty when it can."""
    missing = [name for name in ("containerd", "runc", "ctr", "iptables") if shutil.which(name) is None]
    if os.geteuid() != 0:
        missing.append("root")
    return f"needs {', '.join(missing)} (scripts/packages.txt)" if missing else ""


def images() -> dict[str, Path]:
    """Archives of the three images, built from Debian packages once and kept in the checkout's cache."""
    sys.path.insert(0, str(CHECKOUT / "collections"))
    from ansible_collections.edgelab.kubeedge.plugins.modules import debian_image

    unset = dict.fromkeys(("packages", "entrypoint", "cmd", "arch"))
    paths = {}
    for name, reference in REFERENCES.items():
        paths[name] = IMAGES / f"{name}.tar"
        wanted = {"name": name, "reference": reference, "dest": str(paths[name])}
        cache = {"cache_dir": str(CHECKOUT / ".cache" / "packages")}
        debian_image.ensure({**unset, **wanted, **cache}, check_mode=False)
    return paths


def call(name: str, *arguments: object) -> None:
    """A function of libc; OSError when it fails."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def leave(namespaces: int) -> None:
    """Go on in new namespaces of these kinds (CLONE_NEW...)."""
    call("unshare", namespaces)


@contextmanager
def own_namespaces() -> Iterator[None]:
    """New network and mount namespaces for this process; the network comes back at the end."""
    with Path("/proc/self/ns/net").open() as before:
        leave(CLONE_NEWNS | CLONE_NEWNET)
        call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        for directory in SHARED:  # what containerd, runc and the plugins leave there goes with the namespace
            Path(directory).mkdir(parents=True, exist_ok=True)
            call("mount", b"tmpfs", directory.encode(), b"tmpfs", 0, None)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        try:
            yield
        finally:
            call("setns", before.fileno(), CLONE_NEWNET)


@contextmanager
def running(prefix: str, cgroup: str) -> Iterator[Containerd]:
    """A containerd in namespaces of its own, with the images. Its directory, whose name begins with `prefix`,
    and the control group go at the end."""
    archives = images()
    base = Path(tempfile.mkdtemp(prefix=prefix, dir="/var/tmp"))
    with own_namespaces():
        daemon = Containerd(base)
        daemon.start()
        try:
            daemon.load(archives)
            yield daemon
        finally:
            daemon.stop()
    remove_cgroups(cgroup)
    for _ in range(20):  # what shims began while they were killed may still end
        unmount_below(base)
        shutil.rmtree(base, ignore_errors=True)
        if not base.exists():
            break
        time.sleep(0.1)


def unmount_below(base: Path) -> None:
    """Let go of what killed containers left mounted, deepest first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted((p for p in points if p.startswith(f"{base}/")), reverse=True):
        subprocess.run(["umount", "-l", point], check=False)


class Containerd:
    """The daemon; `stop` ends it and what it runs."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.socket = base / "containerd.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    def start(self, *, network: bool = True) -> None:
        (self.base / "cni").mkdir(parents=True, exist_ok=True)
        config = self.base / "config.toml"
        config.write_text(CONFIG.format(base=self.base))
        if network:
            self.write_network()
        log = (self.base / "containerd.log").open("ab")
        self.process = subprocess.Popen(
            ["containerd", "--config", str(config)], stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        deadline = time.monotonic() + 30
        while subprocess.run(self._ctr("version"), capture_output=True, check=False).returncode:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError((self.base / "containerd.log").read_text()[-2000:])
            time.sleep(0.05)

    def write_network(self) -> None:
        CNI["plugins"][0]["ipam"]["dataDir"] = str(self.base / "ipam")  # type: ignore[index]  # plain JSON
        (self.base / "cni" / "10-test.conflist").write_text(json.dumps(CNI))

    def load(self, archives: dict[str, Path]) -> None:
        for path in archives.values():
            subprocess.run(
                self._ctr("-n", "k8s.io", "images", "import", str(path)), check=True, capture_output=True
            )

    def pids(self) -> list[int]:
        """Processes of containers and their shims."""
        found = []
        for path in Path("/proc").iterdir():
            if not path.name.isdigit():
                continue
            try:
                command = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if b"containerd-shim-runc" in command and str(self.socket).encode() in command:
                found.append(int(path.name))
        return found

    def kill_daemon(self) -> None:
        """As a crash does: containers go on."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        for task in self._tasks():
            subprocess.run(
                self._ctr("-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", task),
                capture_output=True,
                check=False,
            )
        for pid in self.pids():
            with suppress(ProcessLookupError):  # a shim ends with its last container
                os.kill(pid, signal.SIGKILL)
        self.kill_daemon()

    def _tasks(self) -> list[str]:
        done = subprocess.run(
            self._ctr("-n", "k8s.io", "tasks", "ls", "-q"), capture_output=True, text=True, check=False
        )
        return done.stdout.split()

    def _ctr(self, *arguments: str) -> list[str]:
        return ["ctr", "--address", str(self.socket), *arguments]


def remove_cgroups(root: str) -> None:
    """Remove the control groups below `root` in all hierarchies."""
    mount = Path("/sys/fs/cgroup")
    for hierarchy in [mount, *(path for path in mount.iterdir() if path.is_dir())]:
        top = hierarchy / root.strip("/")
        if top.is_dir():
            for directory, _, _ in os.walk(top, topdown=False):
                for _attempt in range(20):
                    try:
                        Path(directory).rmdir()
                        break
                    except OSError:
                        time.sleep(0.05)
