"""A pod's resolv.conf and hosts file (kubelet `network/dns`, `kubelet_pods.go`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb

Obj = dict[str, Any]

MAX_SERVERS = 3  # what resolvers read; the kubelet cuts likewise

HOSTS = """# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


@dataclass(slots=True)
class Resolver:
    """The lines of a resolv.conf."""

    servers: list[str] = field(default_factory=list)
    searches: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)


def read_resolver(path: str) -> Resolver:
    """The node's own; empty when the file is not there or none is configured."""
    result = Resolver()
    try:
        text = Path(path).read_text() if path else ""
    except OSError:
        text = ""
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        match words[:1]:
            case ["nameserver"]:
                result.servers += words[1:2]
            case ["search"]:
                result.searches = words[1:]
            case ["options"]:
                result.options = words[1:]
    return result


def dns_config(pod: Obj, cluster_servers: list[str], domain: str, resolv_conf: str) -> pb.DNSConfig:
    """What the sandbox gets for the pod's dnsPolicy and dnsConfig."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if pod["spec"].get("hostNetwork") and policy == "ClusterFirst":
        policy = "Default"
    if policy == "None":
        chosen = Resolver()
    else:
        chosen = read_resolver(resolv_conf)
        # Without a cluster DNS the kubelet falls back to the node's (and says so in an event).
        if policy != "Default" and cluster_servers:
            namespace = pod["metadata"]["namespace"]
            own = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain] if domain else []
            searches = [*own, *(name for name in chosen.searches if name not in own)]
            chosen = Resolver(list(cluster_servers), searches, ["ndots:5"])
    extra = pod["spec"].get("dnsConfig") or {}
    options = {text.partition(":")[0]: text for text in chosen.options}
    for option in extra.get("options") or []:
        value = option.get("value")
        options[option["name"]] = f"{option['name']}:{value}" if value else option["name"]
    return pb.DNSConfig(
        servers=_unique([*chosen.servers, *(extra.get("nameservers") or [])])[:MAX_SERVERS],
        searches=_unique([*chosen.searches, *(extra.get("searches") or [])]),
        options=list(options.values()),
    )


def hostname(pod: Obj, node: str) -> str:
    """The pod's host name: 63 characters at most, without a dot or dash at the end."""
    if pod["spec"].get("hostNetwork"):
        return node
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def hosts_file(pod: Obj, ips: list[str], node: str) -> str:
    """The content of /etc/hosts."""
    if pod["spec"].get("hostNetwork"):
        try:
            text = "# Kubernetes-managed hosts file (host network).\n" + Path("/etc/hosts").read_text()
        except OSError:
            text = HOSTS
    else:
        text = HOSTS
        name = hostname(pod, node)
        for ip in ips:
            text += f"{ip}\t{name}\n"
    aliases = pod["spec"].get("hostAliases") or []
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(
            f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or []) + "\n" for alias in aliases
        )
    return text


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
