"""What a host's disk gets before its first boot: a name, keys, and the machine's way to the mirrors."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from nspawn_lab.definition import Host, Lab
from nspawn_lab.rootfs import apt_options
from nspawn_lab.shell import run

CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
LOCAL_CAS = Path("/usr/local/share/ca-certificates")
STUB = "nameserver 127.0.0.53"
BEHIND_STUB = Path("/run/systemd/resolve/resolv.conf")


def make_keys(lab: Lab, hosts: list[Host]) -> None:
    """The lab's own key, each host's, and the file by which ssh knows them."""
    folder = lab.key.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for host in hosts:
        lab.control_path(host.name).parent.mkdir(mode=0o700, exist_ok=True)
    for path, comment in [(lab.key, "lab"), *((folder / host.name, host.name) for host in hosts)]:
        if not path.exists():
            run(
                [
                    "ssh-keygen",
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    f"{lab.mark} {comment}",
                    "-f",
                    str(path),
                ]
            )
    lines = []
    for host in hosts:
        kind, key, *_ = (folder / f"{host.name}.pub").read_text(encoding="utf-8").split()
        lines.append(f"{host.address} {kind} {key}\n")
    _write(lab.known_hosts, "".join(lines))
    common = f"  User root\n  IdentityFile {lab.key}\n  IdentitiesOnly yes\n"
    common += f"  UserKnownHostsFile {lab.known_hosts}\n"
    entries = [f"Host {host.name}\n  HostName {host.address}\n{common}" for host in hosts]
    _write(folder / "config", "".join(entries))


def prepare(root: Path, lab: Lab, host: Host) -> None:
    """Writes into `root`, the mounted disk of a host that never booted."""
    _settle_folders(root / "etc")
    identity = hashlib.sha256(f"{lab.owner}/{host.name}".encode()).hexdigest()[:32]
    _write(root / "etc/machine-id", f"{identity}\n")
    _write(root / "etc/hostname", f"{host.name}\n")
    _write(root / "etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{host.address} {host.name}\n")
    _write(root / "root/.ssh/authorized_keys", lab.key.with_suffix(".pub").read_text(encoding="utf-8"), 0o600)
    os.chmod(root / "root/.ssh", 0o700)
    keys = lab.key.parent
    _write(root / "etc/ssh/ssh_host_ed25519_key", (keys / host.name).read_text(encoding="utf-8"), 0o600)
    public = (keys / f"{host.name}.pub").read_text(encoding="utf-8")
    _write(root / "etc/ssh/ssh_host_ed25519_key.pub", public)
    _write(root / "etc/ssh/sshd_config.d/lab.conf", "UseDNS no\nMaxStartups 100\nMaxSessions 100\n")
    _machine_access(root)


def _settle_folders(top: Path) -> None:
    """Copies the folders below `top` up to the host's own disk.

    A daemon that watches a folder of the layer below goes on watching that one when the folder is copied up
    later, and hears of nothing any more: containerd would never see its CNI configuration.
    """
    for folder, _, _ in os.walk(top):
        os.chmod(folder, os.stat(folder).st_mode & 0o7777)


def _machine_access(root: Path) -> None:
    """The machine's name servers, proxy and certificate authorities: without them no mirror is reached."""
    resolver = Path("/etc/resolv.conf").read_text(encoding="utf-8")
    if STUB in resolver and BEHIND_STUB.exists():
        resolver = BEHIND_STUB.read_text(encoding="utf-8")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    _write(root / "etc/resolv.conf", resolver)
    options = [f"{option};\n" for option in apt_options()]
    _write(root / "etc/apt/apt.conf.d/90lab", 'Acquire::Languages "none";\n' + "".join(options))
    if CA_BUNDLE.exists():
        _write(root / "etc/ssl/certs/ca-certificates.crt", CA_BUNDLE.read_text(encoding="utf-8"))
        _write(root / "etc/pip.conf", "[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    if LOCAL_CAS.is_dir():
        target = root / "usr/local/share/ca-certificates"
        shutil.copytree(LOCAL_CAS, target, dirs_exist_ok=True)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        file.write(text)
    path.chmod(mode)
