"""EdgeSite's scheduler: binds pods that have no node to one that fits."""

from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Module
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.scheduler.scheduler import NAME, Scheduler
from edgelab.kube.interface import KubeApi

__all__ = ["NAME", "Scheduler", "build", "sharing"]


def build(api: KubeApi, clock: Clock) -> list[Module]:
    """The modules to run: the scheduler and the informers that feed it."""
    cluster = Cluster(api, clock)
    scheduler = Scheduler(cluster)
    return [*cluster.informers, scheduler]


def sharing(cluster: Cluster) -> Module:
    """The scheduler alone: whoever else uses `cluster` runs its informers (and is built later)."""
    return Scheduler(cluster)
