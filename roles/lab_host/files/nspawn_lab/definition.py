"""What a lab is: its mark, its folders, its hosts and their addresses."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass
from pathlib import Path

from nspawn_lab.shell import LabError

FIRST_HOST = 10
"""The first host's last octet; the bridge itself has 1."""
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True)
class Host:
    """One host of a lab."""

    name: str
    address: str
    link: str
    """The machine's end of the host's cable: at most 15 characters."""
    folder: Path
    rootfs: Path


@dataclass(frozen=True)
class Lab:
    """One lab; everything it owns can be found from its state folder's path."""

    state: Path

    @property
    def mark(self) -> str:
        """`edgelab-` and four hex digits: of the checkout's path for the folder `.lab` in it,
        of the folder's own path otherwise, so that labs beside each other never share a name."""
        path = self.state.parent if self.state.name == ".lab" else self.state
        return f"edgelab-{hashlib.sha256(str(path).encode()).hexdigest()[:4]}"

    @property
    def owner(self) -> str:
        """Tells labs apart whose marks happen to be equal."""
        return hashlib.sha256(str(self.state).encode()).hexdigest()[:16]

    @property
    def key(self) -> Path:
        """The private key that opens every host of this lab."""
        return self.state / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The hosts' public keys."""
        return self.state / "ssh" / "known_hosts"

    @property
    def record(self) -> Path:
        """What `up` decided: subnet and hosts. The inventory reads it."""
        return self.state / "state.json"

    def control_path(self, name: str) -> Path:
        """The socket by which ssh keeps a connection to host `name`.

        A socket's path has at most 107 characters, and ssh adds up to 18 while it makes one.
        """
        path = self.state / "cp" / name
        return path if len(str(path)) < 88 else Path("/tmp") / self.mark / name  # noqa: S108 (made 0700 before use)

    def load(self) -> tuple[str | None, dict[str, Host]]:
        """The recorded subnet and hosts; nothing when the lab was never started."""
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None, {}
        return record["subnet"], {
            name: self.host(name, entry["address"], Path(entry["rootfs"]))
            for name, entry in record["hosts"].items()
        }

    def save(self, subnet: str, hosts: dict[str, Host]) -> None:
        """Records the subnet and the hosts."""
        record = {
            "mark": self.mark,
            "subnet": subnet,
            "key": str(self.key),
            "known_hosts": str(self.known_hosts),
            "hosts": {
                name: {
                    "address": host.address,
                    "rootfs": str(host.rootfs),
                    "control_path": str(self.control_path(name)),
                }
                for name, host in hosts.items()
            },
        }
        text = json.dumps(record, indent=2) + "\n"
        if not self.record.exists() or self.record.read_text(encoding="utf-8") != text:
            draft = self.record.with_suffix(".new")
            draft.write_text(text, encoding="utf-8")
            draft.replace(self.record)

    def host(self, name: str, address: str, rootfs: Path) -> Host:
        """The host `name` at `address`; its link is numbered like its address."""
        number = int(address.rsplit(".", 1)[1]) - FIRST_HOST
        return Host(name, address, f"{self.mark}-{number}", self.state / "hosts" / name, rootfs)

    def plan(
        self, subnet: str, names: list[str], known: dict[str, Host], rootfs: dict[str, Path]
    ) -> dict[str, Host]:
        """Hosts for `names`: known ones keep address and root file system, new ones get the next address."""
        hosts = dict(known)
        for name in names:
            if not HOST_NAME.fullmatch(name):
                raise LabError(f"{name!r} is no host name: use small letters, digits and dashes")
            if name in hosts:
                continue
            taken = {host.address for host in hosts.values()}
            free = (str(a) for a in list(ipaddress.ip_network(subnet).hosts())[FIRST_HOST - 1 :])
            hosts[name] = self.host(name, next(a for a in free if a not in taken), rootfs[name])
        return hosts


def gateway(subnet: str) -> str:
    """The bridge's own address in `subnet`."""
    return str(ipaddress.ip_network(subnet)[1])
