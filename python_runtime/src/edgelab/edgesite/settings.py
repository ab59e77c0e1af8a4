"""What `edgesite server` was told."""

from __future__ import annotations

import argparse
import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.operation.arguments import DATA_DIR, operation
from edgelab.edgesite.store.retention import History

HISTORY = History()
SERVICE_NETWORK = "10.96.0.0/16"
ADDRESS_TYPES = ("InternalDNS", "Hostname", "InternalIP", "ExternalDNS", "ExternalIP")
"""kube-apiserver has Hostname first; InternalDNS is where CloudCore says that it is the way to a node."""


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where the audit log goes, what is in it, and how much of it is kept."""

    log: Path
    policy: Path | None = None
    max_bytes: int = 100 << 20
    backups: int = 5


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """Which of a node's addresses its kubelet is reached at, and who signs kubelets' certificates."""

    address_types: tuple[str, ...] = ADDRESS_TYPES
    authority: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """`addresses` are where others reach the server; the first one goes into the kubeconfig."""

    data_dir: Path
    host: str
    port: int
    addresses: list[str]
    kubeconfig: Path | None
    service_network: ipaddress.IPv4Network
    verbosity: int = 0
    shutdown_delay: float = 0.0
    history: History = HISTORY
    wait_for_follower: float = 0.0
    peers: tuple[str, ...] = ()
    encryption: Path | None = None
    audit: AuditSettings | None = None
    kubelet: KubeletSettings = field(default_factory=KubeletSettings)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(
        prog="edgesite", allow_abbrev=False, description="A Kubernetes control plane in one process."
    )
    root.add_argument("--version", action="store_true", help="print the version and exit")
    commands = root.add_subparsers(dest="command", metavar="COMMAND")
    server = commands.add_parser("server", help="run the control plane", allow_abbrev=False)
    server.add_argument("--data-dir", type=Path, default=DATA_DIR, metavar="DIR")
    server.add_argument("--listen", default="0.0.0.0:6443", metavar="ADDR:PORT")
    server.add_argument(
        "--advertise-address",
        action="append",
        default=[],
        metavar="IP",
        help="address of this host; repeatable",
    )
    server.add_argument(
        "--write-kubeconfig", type=Path, metavar="FILE", help="write the administrator's access"
    )
    server.add_argument("--service-cidr", default=SERVICE_NETWORK, metavar="CIDR")
    server.add_argument(
        "--shutdown-delay",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long to go on serving, no longer ready, when told to stop",
    )
    server.add_argument(
        "--wait-for-follower",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long a write waits for a follower to have it, too; 0 is not at all",
    )
    server.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="URL",
        help="another box of this site, repeatable: this one does not serve when that one was promoted",
    )
    server.add_argument(
        "--history",
        type=float,
        default=HISTORY.seconds,
        metavar="SECONDS",
        help="for how long watches can catch up with what they missed",
    )
    server.add_argument(
        "--history-size",
        type=int,
        default=HISTORY.max_bytes >> 20,
        metavar="MIB",
        help="and how much of it",
    )
    server.add_argument(
        "--encryption-provider-config",
        type=Path,
        metavar="FILE",
        help="an EncryptionConfiguration of Kubernetes: how Secrets are kept on the disk",
    )
    _audit(server)
    _kubelet(server)
    server.add_argument("-v", type=int, default=0, metavar="LEVEL", help="log level; 4 and above is debug")
    operation(commands)
    return root


def _audit(server: argparse.ArgumentParser) -> None:
    server.add_argument(
        "--audit-log", type=Path, metavar="FILE", help="write one line of JSON for each request"
    )
    server.add_argument(
        "--audit-policy-file",
        type=Path,
        metavar="FILE",
        help="a Policy of audit.k8s.io/v1; without it: metadata of every request",
    )
    server.add_argument(
        "--audit-log-maxsize", type=int, default=100, metavar="MIB", help="begin a new file at this size"
    )
    server.add_argument(
        "--audit-log-maxbackup", type=int, default=5, metavar="N", help="keep so many older files"
    )


def _kubelet(server: argparse.ArgumentParser) -> None:
    server.add_argument(
        "--kubelet-preferred-address-types",
        default=",".join(ADDRESS_TYPES),
        metavar="TYPES",
        help="which of a node's addresses to take for logs, exec and the like: the first type that it has",
    )
    server.add_argument(
        "--kubelet-certificate-authority",
        type=Path,
        metavar="FILE",
        help="who signs kubelets' certificates; without it they are not checked",
    )


def _kubelet_settings(arguments: argparse.Namespace) -> KubeletSettings:
    types = tuple(word.strip() for word in arguments.kubelet_preferred_address_types.split(","))
    unknown = [word for word in types if word not in ADDRESS_TYPES]
    if unknown:
        text = f"--kubelet-preferred-address-types {unknown[0]}: the types are {', '.join(ADDRESS_TYPES)}"
        raise Fatal(text, code=2)
    authority: Path | None = arguments.kubelet_certificate_authority
    if authority is not None:
        try:
            ssl.create_default_context(cafile=authority)
        except (OSError, ssl.SSLError) as error:
            text = f"--kubelet-certificate-authority {authority}: {error}; give a file with certificates"
            raise Fatal(text, code=2) from error
    return KubeletSettings(types, authority)


def _audit_settings(arguments: argparse.Namespace) -> AuditSettings | None:
    if arguments.audit_log is None:
        if arguments.audit_policy_file is not None:
            raise Fatal("--audit-policy-file needs --audit-log FILE", code=2)
        return None
    size, backups = max(1, arguments.audit_log_maxsize) << 20, max(0, arguments.audit_log_maxbackup)
    return AuditSettings(arguments.audit_log, arguments.audit_policy_file, size, backups)


def _peers(given: list[str]) -> tuple[str, ...]:
    for peer in given:
        if not peer.startswith("https://"):
            raise Fatal(f"--peer {peer}: give a URL, for example https://192.0.2.11:6443", code=2)
    return tuple(dict.fromkeys(peer.rstrip("/") for peer in given))


def from_arguments(arguments: argparse.Namespace) -> Settings:
    """Check the command line. Raises Fatal."""
    host, _, port = str(arguments.listen).rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise Fatal(f"--listen {arguments.listen}: give ADDRESS:PORT, for example 0.0.0.0:6443", code=2)
    addresses = list(dict.fromkeys(arguments.advertise_address))
    try:
        for address in addresses:
            ipaddress.ip_address(address)
        network = ipaddress.IPv4Network(arguments.service_cidr)
    except ValueError as error:
        raise Fatal(f"{error}; give an IP address", code=2) from error
    if not addresses:
        addresses = ["127.0.0.1" if host in ("", "0.0.0.0", "::") else host]  # noqa: S104 - compared, not bound
    return Settings(
        data_dir=arguments.data_dir,
        host=host.strip("[]") or "0.0.0.0",  # noqa: S104 - `--listen :6443` means every address
        port=int(port),
        addresses=addresses,
        kubeconfig=arguments.write_kubeconfig,
        service_network=network,
        verbosity=arguments.v,
        shutdown_delay=max(0.0, arguments.shutdown_delay),
        audit=_audit_settings(arguments),
        kubelet=_kubelet_settings(arguments),
        encryption=arguments.encryption_provider_config,
        wait_for_follower=max(0.0, arguments.wait_for_follower),
        peers=_peers(arguments.peer),
        history=History(max(1.0, arguments.history), max(1, arguments.history_size) << 20),
    )
