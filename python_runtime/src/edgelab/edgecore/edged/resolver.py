"""A pod's resolv.conf and hosts file (kubelet `network/dns`, `kubelet_pods.go`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.edgecore.edged import names as podnames
from edgelab.edgecore.edged.problems import ContainerProblem

Obj = dict[str, Any]

MAX_SERVERS = 3  # what resolvers read; the kubelet cuts likewise
MAX_SEARCHES, MAX_SEARCH_LENGTH = 32, 2048
MAX_HOSTNAME = 64

Warn = Callable[[str, str], None]
"""Is told reason and message of an event."""

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


def dns_config(
    pod: Obj, cluster_servers: list[str], domain: str, resolv_conf: str, warn: Warn = lambda *_: None
) -> pb.DNSConfig:
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
        elif policy != "Default":
            text = "kubelet does not have ClusterDNS IP configured and cannot create Pod using "
            text += f'"{policy}" policy. Falling back to "Default" policy.'
            warn("MissingClusterDNS", f'pod: "{podnames.described(pod)}". {text}')
    extra = pod["spec"].get("dnsConfig") or {}
    options = {text.partition(":")[0]: text for text in chosen.options}
    for option in extra.get("options") or []:
        value = option.get("value")
        options[option["name"]] = f"{option['name']}:{value}" if value else option["name"]
    servers = _unique([*chosen.servers, *(extra.get("nameservers") or [])])
    searches = _unique([*chosen.searches, *(extra.get("searches") or [])])
    if len(servers) > MAX_SERVERS:
        servers = servers[:MAX_SERVERS]
        text = "Nameserver limits were exceeded, some nameservers have been omitted, "
        warn("DNSConfigForming", f"{text}the applied nameserver line is: {' '.join(servers)}")
    if len(fitting := _fitting(searches)) < len(searches):
        searches = fitting
        text = "Search Line limits were exceeded, some search paths have been omitted, "
        warn("DNSConfigForming", f"{text}the applied search line is: {' '.join(searches)}")
    return pb.DNSConfig(servers=servers, searches=searches, options=list(options.values()))


def _fitting(searches: list[str]) -> list[str]:
    kept: list[str] = []
    for name in searches[:MAX_SEARCHES]:
        if len(" ".join([*kept, name])) > MAX_SEARCH_LENGTH:
            break
        kept.append(name)
    return kept


def hostname(pod: Obj, node: str, domain: str = "") -> str:
    """The pod's host name: 63 characters at most, without a dot or dash at the end.

    With `setHostnameAsFQDN` its full name. Raises ContainerProblem when that is longer than Linux takes.
    """
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        return node
    short = str(spec.get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")
    full = f"{short}.{below}" if (below := subdomain(pod, domain)) else short
    if not spec.get("setHostnameAsFQDN"):
        return short
    if len(full) > MAX_HOSTNAME:
        raise ContainerProblem(
            "FailedCreatePodSandBox",
            f"Failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too long "
            f"({MAX_HOSTNAME} characters is the max, {len(full)} characters requested)",
        )
    return full


def subdomain(pod: Obj, domain: str) -> str:
    """`subdomain.namespace.svc.cluster.local`; empty when the pod names no subdomain."""
    own = pod["spec"].get("subdomain")
    return f"{own}.{pod['metadata']['namespace']}.svc.{domain}" if own and domain else ""


def hosts_file(pod: Obj, ips: list[str], node: str, domain: str = "") -> str:
    """The content of /etc/hosts."""
    if pod["spec"].get("hostNetwork"):
        try:
            text = "# Kubernetes-managed hosts file (host network).\n" + Path("/etc/hosts").read_text()
        except OSError:
            text = HOSTS
    else:
        text = HOSTS
        name = str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")
        below = subdomain(pod, domain)
        names = f"{name}.{below}\t{name}" if below else name
        text += "".join(f"{ip}\t{names}\n" for ip in ips)
    aliases = pod["spec"].get("hostAliases") or []
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(
            f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or []) + "\n" for alias in aliases
        )
    return text


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
