"""What the API knows of edge nodes: ready, in touch, one address each, their pods, DaemonSets, versions."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Any

from edgelab import KUBEEDGE_VERSION
from edgelab.keadm.diagnose_findings import Finding, failed, ok, unknown, warning
from edgelab.keadm.nodes import Node
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import DAEMON_SETS, LEASE_NAMESPACE, LEASES, NODES, PODS
from edgelab.objects.metadata import labels
from edgelab.objects.placement import EDGE_LABEL, Reach, reach

READY, LEASE, ADDRESS = "NODE-READY", "NODE-LEASE", "NODE-ADDRESS"
POD, DAEMONS, VERSION = "NODE-PODS", "NODE-DAEMONSETS", "NODE-VERSION"
CODES = (READY, LEASE, ADDRESS, POD, DAEMONS, VERSION)
CLOUD_ONLY = (
    "kube-proxy",
    "calico",
    "canal",
    "flannel",
    "cilium",
    "weave",
    "kube-router",
    "antrea",
    "nodelocaldns",
)
SETTLING = dt.timedelta(seconds=60)
"""So long a pod may be on its way."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Objects as the API server holds them."""

    nodes: list[Obj]
    pods: list[Obj]
    leases: list[Obj]
    daemon_sets: list[Obj]


async def read(api: KubeApi) -> Cluster:
    """Everything that is judged, in four requests. Raises ApiError."""
    return Cluster(
        (await api.list(NODES)).items,
        (await api.list(PODS)).items,
        (await api.list(LEASES, LEASE_NAMESPACE)).items,
        (await api.list(DAEMON_SETS)).items,
    )


def judge(cluster: Cluster, wanted: list[str], now: dt.datetime) -> list[Finding]:
    """Findings over the cluster; `wanted` are names of nodes that there have to be."""
    edge = {n["metadata"]["name"]: n for n in cluster.nodes if EDGE_LABEL in labels(n)}
    names = sorted({*edge, *wanted})
    if not names:
        return unknown(CODES, "there is no edge node")
    pods = [pod for pod in cluster.pods if (pod.get("spec") or {}).get("nodeName") in edge]
    return [
        *(ready(Node(name, edge.get(name))) for name in names),
        *leases(edge, cluster.leases, now),
        *addresses(cluster.nodes),
        *pods_run(pods, now),
        *daemon_sets(cluster.daemon_sets, edge),
        *versions(edge),
    ]


def ready(node: Node) -> Finding:
    """Registered and Ready."""
    if node.ready:
        return ok(READY, "Ready", node.name)
    fix = f"on {node.name}: systemctl status edgecore; journalctl -u edgecore -n 50; its link to the cloud"
    return failed(READY, node.reason, fix, node.name)


def leases(edge: dict[str, Obj], leases: list[Obj], now: dt.datetime) -> list[Finding]:
    """The age of each node's lease."""
    by_name = {lease["metadata"]["name"]: lease.get("spec") or {} for lease in leases}
    findings = []
    for name in sorted(edge):
        spec = by_name.get(name, {})
        renewed = moment(spec.get("renewTime"))
        fix = f"on {name}: systemctl status edgecore; does it reach the cloud's ports?"
        if renewed is None:
            findings.append(warning(LEASE, "has no lease", fix, name))
            continue
        age = (now - renewed).total_seconds()
        held = spec.get("leaseDurationSeconds") or 40
        text = f"renewed {age:.0f} s ago, and is held for {held} s"
        findings.append(ok(LEASE, text, name) if age <= held else failed(LEASE, text, fix, name))
    return findings


def addresses(nodes: list[Obj]) -> list[Finding]:
    """One address, one node."""
    owners: dict[str, list[str]] = {}
    for node in nodes:
        for entry in (node.get("status") or {}).get("addresses") or []:
            if entry.get("type") == "InternalIP":
                owners.setdefault(entry["address"], []).append(node["metadata"]["name"])
    fix = "set edgecore_node_ip on each; `kubectl delete node NAME` for one that is gone"
    found = [
        failed(ADDRESS, f"belongs to the nodes {', '.join(sorted(names))}", fix, address)
        for address, names in sorted(owners.items())
        if len(names) > 1
    ]
    return found or [ok(ADDRESS, f"{len(owners)} addresses, each of one node")]


def pods_run(pods: list[Obj], now: dt.datetime) -> list[Finding]:
    """Pods on edge nodes that do not run, with the reason."""
    findings = [finding for pod in pods if (finding := _pod(pod, now))]
    return findings or [ok(POD, f"{len(pods)} pods on edge nodes run or are done")]


def _pod(pod: Obj, now: dt.datetime) -> Finding | None:
    meta, status = pod["metadata"], pod.get("status") or {}
    name = f"{meta['namespace']}/{meta['name']}"
    born = moment(meta.get("creationTimestamp"))
    young = born is not None and now - born < SETTLING
    reason = _why(status)
    look = f"kubectl -n {meta['namespace']} describe pod {meta['name']}"
    where = f"on {pod['spec']['nodeName']}: "
    if ended := moment(meta.get("deletionTimestamp")):
        text = f"{where}is being deleted since {ended:%H:%M:%S}"
        return warning(POD, text, f"is the node connected? {look}", name) if now - ended > SETTLING else None
    if status.get("phase") == "Succeeded" or not reason:
        return None
    if young:
        return warning(POD, f"{where}{reason} (it is young)", look, name)
    return failed(POD, where + reason, look, name)


def _why(status: Obj) -> str:
    """Why a pod does not run; empty when it does."""
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (container.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") not in (None, "PodInitializing"):
            return f"{waiting['reason']}: {waiting.get('message') or container['name']}"
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    phase = status.get("phase") or "Pending"
    if phase == "Running" and conditions.get("Ready", {}).get("status", "True") == "True":
        return ""
    told: Obj = next((c for c in conditions.values() if c["status"] != "True" and c.get("message")), {})
    words = [status.get("reason"), status.get("message") or told.get("message")]
    said = ": ".join(word for word in words if word)
    return f"{phase if phase != 'Running' else 'not Ready'}{': ' + said if said else ''}"


def daemon_sets(sets: list[Obj], edge: dict[str, Obj]) -> list[Finding]:
    """DaemonSets that would put a pod on an edge node, where most of them cannot work."""
    findings = []
    for one in sets:
        meta, template = one["metadata"], one["spec"]["template"].get("spec") or {}
        hit = sorted(name for name, node in edge.items() if lands(template, node))
        if not hit or reach(one) is Reach.only:
            continue
        text = f"runs on {', '.join(hit)}"
        key = f"{meta['namespace']}/{meta['name']}"
        fix = f"keadm off-edge set --daemonset {key} keeps it off them; role calico does it for all"
        serious = meta["name"].startswith(CLOUD_ONLY)
        findings.append((failed if serious else warning)(DAEMONS, text, fix, key))
    return findings or [ok(DAEMONS, f"none of {len(sets)} DaemonSets gets on edge nodes unasked")]


def _terms(template: Obj) -> list[Obj]:
    affinity = ((template.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    terms: list[Obj] = affinity.get("nodeSelectorTerms") or []
    return terms


def lands(template: Obj, node: Obj) -> bool:
    """Whether a DaemonSet's pod may be put on a node: selector, affinity by labels, taints."""
    from edgelab.objects.selectors import from_labels, from_object

    present = labels(node)
    if template.get("nodeSelector") and not from_labels(template["nodeSelector"]).matches(present):
        return False
    terms = [{"matchExpressions": term.get("matchExpressions") or []} for term in _terms(template)]
    if terms and not any(from_object(term).matches(present) for term in terms):
        return False
    taints = [
        t for t in (node.get("spec") or {}).get("taints") or [] if t.get("effect") != "PreferNoSchedule"
    ]
    taints = [
        t for t in taints if not t["key"].startswith("node.kubernetes.io/")
    ]  # DaemonSets tolerate these
    return all(any(_tolerates(one, taint) for one in template.get("tolerations") or []) for taint in taints)


def _tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same: bool = toleration.get("value", "") == taint.get("value", "")
    return same and toleration.get("key") == taint["key"]


def versions(edge: dict[str, Obj]) -> list[Finding]:
    """Nodes of another KubeEdge than this host's."""
    told = {
        name: ((n.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion")
        for name, n in edge.items()
    }
    fix = "run site.yml on that node; one minor version of difference works"
    strange = [
        warning(VERSION, f"runs {version}, and the cloud {KUBEEDGE_VERSION}", fix, name)
        for name, version in sorted(told.items())
        if version and not version.endswith(KUBEEDGE_VERSION)
    ]
    counted = Counter(version for version in told.values() if version)
    return strange or [
        ok(VERSION, ", ".join(f"{number} x {v}" for v, number in counted.items()) or "none told")
    ]


def moment(text: Any) -> dt.datetime | None:
    """A time of the API."""
    try:
        return dt.datetime.fromisoformat(text).astimezone(dt.UTC) if text else None
    except ValueError:
        return None
