#!/usr/bin/python3
"""A package source as pkgs.k8s.io has it, with stand-ins for Kubernetes' packages; runs on the first host.

One folder a minor version, a flat repository in each with several releases, signed by a key that is made
here and is good for nothing else. Fingerprint and image of etcd lie beside it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from email.utils import formatdate
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "source"
LIBRARY = "usr/lib/kubernetes-standin"
KEY = "Stand-in of a Kubernetes package source (edgelab test)"
RELEASES = ("1.33.5", "1.33.6", "1.34.1", "1.34.2")
DEPENDS = {
    "kubeadm": "cri-tools (>= 1.30.0)",
    "kubelet": "cri-tools (>= 1.30.0), kubernetes-cni (>= 1.2.0), iptables, socat, iproute2",
    "kubectl": "cri-tools (>= 1.30.0)",
    "cri-tools": "python3, python3-yaml, python3-jsonschema, openssl",
    "kubernetes-cni": "",
}
CALL = """#!/usr/bin/python3
import sys
sys.path.insert(0, "/{library}")
from standin import {module}
sys.exit({module}.main({argument}))
"""
UNIT = """[Unit]
Description=kubelet: The Kubernetes Node Agent
Documentation=https://kubernetes.io/docs/
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
"""
DROP_IN = """[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf \
--kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS \
$KUBELET_EXTRA_ARGS
"""
ETCDUTL = """#!/bin/sh
# etcdutl's stand-in: `snapshot restore FILE --data-dir=DIR ...` unpacks a copy of the API server's data.
set -e
[ "$1 $2" = "snapshot restore" ] || exit 2
for word in "$@"; do case "$word" in --data-dir=*) target="${word#--data-dir=}" ;; esac; done
mkdir -p "$target/member"
cp "$3" "$target/member/state.db"
"""


def files(package: str, release: str) -> dict[str, str | Path]:
    """What a package installs."""
    if package in ("kubeadm", "kubelet"):
        text = CALL.format(library=LIBRARY, module=package, argument=repr(release))
        units = "usr/lib/systemd/system/kubelet.service"
        more = {"kubeadm": {f"{units}.d/10-kubeadm.conf": DROP_IN}, "kubelet": {units: UNIT}}
        return {f"usr/bin/{package}": text, **more[package]}
    if package == "kubectl":
        # The real program, which prepare.yml has laid there.
        return {"usr/bin/kubectl": '#!/bin/sh\nexec /usr/local/lib/kubectl "$@"\n'}
    if package == "cri-tools":
        library = {f"{LIBRARY}/standin/{path.name}": path for path in (HERE / "standin").glob("*.py")}
        return {"usr/bin/crictl": CALL.format(library=LIBRARY, module="crictl", argument=""), **library}
    return {"usr/share/doc/kubernetes-cni/README": "No plugins: this is a stand-in.\n"}


def build(package: str, release: str, folder: Path) -> None:
    """One package."""
    tree = HERE / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    control = {
        "Package": package,
        "Version": f"{release}-1.1",
        "Architecture": "all",
        "Maintainer": "edgelab tests <root@localhost>",
        "Depends": DEPENDS[package],
        "Description": f"stand-in for Kubernetes' package {package}, for tests only",
    }
    text = "".join(f"{name}: {value}\n" for name, value in control.items() if value)
    for name, content in {"DEBIAN/control": text, **files(package, release)}.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content.read_text() if isinstance(content, Path) else content)
        path.chmod(0o755 if "/bin/" in name else 0o644)
    target = folder / f"{package}_{release}-1.1_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, target], check=True)


def index(folder: Path) -> None:
    """Packages and a signed Release."""
    entries = []
    for path in sorted(folder.glob("*.deb")):
        control = subprocess.run(
            ["dpkg-deb", "--field", path], capture_output=True, check=True
        ).stdout.decode()
        data = path.read_bytes()
        entries.append(
            f"{control}Filename: {path.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        )
    packages = "\n".join(entries).encode()
    contents = {"Packages": packages, "Packages.gz": gzip.compress(packages)}
    lines = [f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}" for name, data in contents.items()]
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    head = ["Origin: obs://stand-in", "Label: stand-in", f"Date: {formatdate(usegmt=True)}", "SHA256:"]
    (folder / "Release").write_text("\n".join([*head, *lines]) + "\n")
    for words in (
        ["--clearsign", "--output", "InRelease"],
        ["--armor", "--detach-sign", "--output", "Release.gpg"],
    ):
        gpg(*words[:-1], str(folder / words[-1]), str(folder / "Release"))
    (folder / "Release.key").write_text(gpg("--armor", "--export", KEY))


def gpg(*words: str) -> str:
    """GnuPG with a home of its own."""
    home = HERE / "gnupg"
    home.mkdir(mode=0o700, exist_ok=True)
    command = ["gpg", "--homedir", home, "--batch", "--yes", "--quiet", "--passphrase", "", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def etcd_image() -> None:
    """An image under etcd's name with a shell and the stand-in of etcdutl, as `docker save` writes one."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        programs = {
            "bin/busybox": Path("/bin/busybox").read_bytes(),
            "usr/local/bin/etcdutl": ETCDUTL.encode(),
        }
        for name, data in programs.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
        for name in ("sh", "cp", "mkdir"):
            member = tarfile.TarInfo(f"bin/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(member)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    configuration = {
        "architecture": machine.stdout.strip(),
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    tags = ["registry.k8s.io/etcd:3.6.4-0"]
    listing = [{"Config": "config.json", "RepoTags": tags, "Layers": ["layer.tar"]}]
    with tarfile.open(HERE / "etcd.tar", "w") as tar:
        parts = {"config.json": configuration, "manifest.json": listing}
        contents = {name: json.dumps(part).encode() for name, part in parts.items()}
        for name, data in {"layer.tar": layer.getvalue(), **contents}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def main() -> int:
    """Everything, from nothing."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    gpg("--quick-generate-key", KEY, "ed25519", "sign", "1d")
    for release in RELEASES:
        folder = SOURCE / f"v{release.rpartition('.')[0]}" / "deb"
        folder.mkdir(parents=True, exist_ok=True)
        for package in ("kubeadm", "kubelet", "kubectl"):
            build(package, release, folder)
    for folder in sorted(SOURCE.glob("*/deb")):
        for package in ("cri-tools", "kubernetes-cni"):
            build(package, "1.34.0", folder)
        index(folder)
    listed = gpg("--with-colons", "--list-keys", KEY).splitlines()
    fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
    (HERE / "fingerprint").write_text(fingerprint)
    etcd_image()
    return 0


if __name__ == "__main__":
    sys.exit(main())
