"""What CloudCore tells of itself on the monitor address: its numbers and whether it is ready."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from edgelab.cloudcore.cloudhub.hub import CloudHub
from edgelab.cloudcore.cloudhub.ownership import Ownership
from edgelab.cloudcore.cloudhub.replicas import Replicas
from edgelab.cloudcore.cloudhub.tracker import SyncTracker
from edgelab.cloudcore.cluster import EDGE_LABEL
from edgelab.cloudcore.metrics import Family, Sample
from edgelab.kube.informer import Informer
from edgelab.kube.resources import NODES
from edgelab.objects.metadata import labels

COUNTERS = {
    "connections": "Connections of nodes that were let in.",
    "received": "Messages of nodes, keepalives among them.",
    "sent": "Messages to nodes, repeats among them.",
    "acknowledged": "Objects that nodes have stored.",
    "refused": "Objects that nodes could not store.",
    "repeated": "Messages that were sent again for want of an acknowledgement, of sessions that ended.",
    "dropped": "Messages that found no room in a node's queue, of sessions that ended.",
    "lost": "Messages without acknowledgement for nodes that were not connected.",
    "nonsense": "Messages and frames of nodes that could not be read.",
    "forbidden": "Requests of nodes that authorization refused.",
    "yielded": "Sessions that ended because another CloudCore took the node over.",
}


class Check(NamedTuple):
    """One part of being ready. `detail` is for people, also while all is well."""

    name: str
    good: bool
    detail: str = ""


class State:
    """Collects; nothing is kept here."""

    def __init__(
        self,
        hub: CloudHub,
        tracker: SyncTracker,
        replicas: Replicas,
        ownership: Ownership,
        *,
        informers: list[Informer],
        serving: Callable[[], bool],
    ) -> None:
        self._hub = hub
        self._tracker = tracker
        self._replicas = replicas
        self._ownership = ownership
        self._informers = informers
        self._nodes = next(informer for informer in informers if informer.resource is NODES)
        self._serving = serving
        self.others: list[Callable[[], Iterable[Family]]] = []
        """Numbers of modules that are there when asked for."""

    def checks(self) -> Iterator[Check]:
        """Whether nodes can be served. An API server that is gone is no reason to send them away."""
        for informer in self._informers:
            name = f"informer/{informer.resource.plural}"
            detail = informer.last_error or "" if informer.synced else informer.last_error or "not listed yet"
            yield Check(name, informer.synced, detail)
        yield Check("cloudhub", self._serving(), "" if self._serving() else "does not listen yet")
        yield Check("replica-lease", True, self._replicas.trouble)

    def families(self) -> Iterator[Family]:
        """All numbers."""
        yield from self._hub_families()
        yield from self._shared_families()
        for families in self.others:
            yield from families()
        yield from _process()

    def _hub_families(self) -> Iterator[Family]:
        hub = self._hub
        sessions = hub.sessions.values()
        yield _gauge("KubeEdge_CloudHub_connected_nodes", "Nodes that are connected here.", len(sessions))
        text = "Edge nodes of the cluster: connected here (1) or not (0)."
        edge = sorted(name for (_, name), node in self._nodes.store.items() if EDGE_LABEL in labels(node))
        samples = [Sample(name in hub.sessions, {"node": name}) for name in edge]
        yield Family("edgelab_cloudhub_node_connected", "gauge", text, samples)
        queued = sum(len(session.outbox) for session in sessions)
        yield _gauge("edgelab_cloudhub_queued_messages", "Messages that wait for nodes.", queued)
        text = "ObjectSyncs that wait to be written."
        yield _gauge("edgelab_cloudhub_queued_records", text, len(self._tracker))
        for name, text in COUNTERS.items():
            yield Family(f"edgelab_cloudhub_{name}_total", "counter", text, [Sample(hub.counts[name])])
        complaints = [Sample(count, {"reason": reason}) for reason, count in hub.complaints.counts.items()]
        text = "What was wrong with nodes and connections, by reason (docs/reference/protocol.md)."
        yield Family("edgelab_cloudhub_complaints_total", "counter", text, complaints)
        yield hub.upstream_seconds.family()
        yield hub.ack_seconds.family()

    def _shared_families(self) -> Iterator[Family]:
        me, alive = self._replicas.me, self._replicas.alive()
        yield Family("edgelab_cloudcore_info", "gauge", "This CloudCore.", [Sample(1, {"replica": me})])
        yield _gauge("edgelab_cloudcore_replicas", "CloudCores of this cluster that run.", len(alive))
        owned = self._ownership.counts()
        samples = [Sample(owned[name], {"replica": name}) for name in sorted({*alive, *owned})]
        text = "Nodes by the CloudCore that their Lease names, connected or not."
        yield Family("edgelab_cloudcore_nodes", "gauge", text, samples)
        samples = [Sample(not i.last_error, {"resource": i.resource.plural}) for i in self._informers]
        text = "Whether the API server's objects of a kind are followed (1) or cannot be reached (0)."
        yield Family("edgelab_cloudcore_informer_connected", "gauge", text, samples)


def _gauge(name: str, text: str, value: float) -> Family:
    return Family(name, "gauge", text, [Sample(value)])


STARTED = time.time()


def _process() -> Iterator[Family]:
    """The names that Prometheus' own client libraries have."""
    with open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    times = os.times()
    used = Sample(times.user + times.system)
    yield _gauge("process_resident_memory_bytes", "Resident memory.", resident)
    yield _gauge("process_open_fds", "Open files and sockets.", len(os.listdir("/proc/self/fd")))
    yield _gauge("process_start_time_seconds", "Start, as Unix time.", STARTED)
    yield Family("process_cpu_seconds_total", "counter", "Processor time, user and system.", [used])
