"""What a machine of Vagrant's has beside Debian: the user `vagrant`, SSH keys, the way to the mirrors.

The conventions are Vagrant's own (https://developer.hashicorp.com/vagrant/docs/boxes/base): user and password
`vagrant`, sudo without a password, and the public half of a key pair that everybody knows, which Vagrant
replaces at the first boot.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from nspawn_lab.rootfs import apt_options

HERE = Path(__file__).resolve().parent
PUBLIC_KEY = HERE.parent / "vagrant.pub"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
USER = "vagrant:x:1000:1000:Vagrant:/home/vagrant:/bin/bash"
SSH_KEYS = "[Service]\nExecStartPre=\nExecStartPre=/usr/bin/ssh-keygen -A\nExecStartPre=/usr/sbin/sshd -t\n"
"""A drop-in of ssh.service: images carry no host keys, each machine makes its own."""


def recipe(packages: Iterable[str]) -> str:
    """Twelve hex digits of all that decides the content of what is built here."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*.py"))]
    return hashlib.sha256(json.dumps([sorted(packages), sources]).encode()).hexdigest()[:12]


def prepare(root: Path, base: Path) -> None:
    """Writes into `root`, a layer above `base`, the files that make it a machine of Vagrant's."""
    _write(root / "etc/passwd", _joined(base / "etc/passwd", USER))
    _write(root / "etc/shadow", _joined(base / "etc/shadow", "vagrant:*:19000:0:99999:7:::"), 0o640)
    _write(root / "etc/group", _joined(base / "etc/group", "vagrant:x:1000:"))
    _write(root / "etc/sudoers.d/vagrant", "vagrant ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    _write(root / "home/vagrant/.ssh/authorized_keys", PUBLIC_KEY.read_text(encoding="utf-8"), 0o600)
    for path in (root / "home/vagrant/.ssh", root / "home/vagrant"):
        path.chmod(0o700 if path.name == ".ssh" else 0o755)
    for path in (root / "home/vagrant", *(root / "home/vagrant").rglob("*")):
        shutil.chown(path, 1000, 1000)
    shadow = (base / "etc/shadow").stat()
    shutil.chown(root / "etc/shadow", shadow.st_uid, shadow.st_gid)
    _write(root / "etc/systemd/system/ssh.service.d/keys.conf", SSH_KEYS)
    _write(root / "etc/ssh/sshd_config.d/lab.conf", "UseDNS no\nPasswordAuthentication no\n")
    options = "".join(f"{option};\n" for option in apt_options())
    _write(root / "etc/apt/apt.conf.d/90lab", f'Acquire::Languages "none";\n{options}')
    if CA_BUNDLE.exists():
        _write(root / "etc/ssl/certs/ca-certificates.crt", CA_BUNDLE.read_text(encoding="utf-8"))
        _write(root / "etc/pip.conf", f"[global]\ncert = {CA_BUNDLE}\n")


def _joined(path: Path, line: str) -> str:
    return path.read_text(encoding="utf-8").rstrip("\n") + f"\n{line}\n"


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
