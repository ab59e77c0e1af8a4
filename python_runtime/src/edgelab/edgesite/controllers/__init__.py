"""EdgeSite's controller manager: one module per controller, over shared informers."""

from __future__ import annotations

from collections.abc import Sequence

from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Module
from edgelab.edgesite.controllers.bootstrap_tokens import BootstrapTokenController
from edgelab.edgesite.controllers.certificate_requests import CertificateRequestController
from edgelab.edgesite.controllers.cluster_roles import ClusterRoleAggregationController
from edgelab.edgesite.controllers.cronjob import CronJobController
from edgelab.edgesite.controllers.daemonset import DaemonSetController
from edgelab.edgesite.controllers.deployment import DeploymentController
from edgelab.edgesite.controllers.disruption import DisruptionController, StaleDisruptions
from edgelab.edgesite.controllers.endpoints import EndpointsController
from edgelab.edgesite.controllers.endpointslice import EndpointSliceController
from edgelab.edgesite.controllers.eviction import TaintEvictionController
from edgelab.edgesite.controllers.garbage import GarbageCollector
from edgelab.edgesite.controllers.job import JobController
from edgelab.edgesite.controllers.mirroring import MirroringController
from edgelab.edgesite.controllers.namespace import NamespaceController
from edgelab.edgesite.controllers.node_health import Heartbeats, NodeHealthController
from edgelab.edgesite.controllers.node_ttl import NodeTTLController
from edgelab.edgesite.controllers.pod_gc import PodGarbageCollector
from edgelab.edgesite.controllers.replicaset import ReplicaSetController, ReplicationControllerManager
from edgelab.edgesite.controllers.resource_quota import ResourceQuotaController
from edgelab.edgesite.controllers.root_ca import RootCAPublisher
from edgelab.edgesite.controllers.service_cidrs import ServiceCIDRController
from edgelab.edgesite.controllers.serviceaccount import ServiceAccountController
from edgelab.edgesite.controllers.statefulset import StatefulSetController
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import BUILT_IN, served
from edgelab.edgesite.controllers.support.trust import Trust
from edgelab.edgesite.controllers.token_secrets import TokenSecretController
from edgelab.edgesite.controllers.ttl_after_finished import TTLAfterFinishedController
from edgelab.edgesite.controllers.volumes import (
    ClassProtectionController,
    EphemeralVolumeController,
    ExpansionController,
    ProtectionController,
    VolumeBinder,
)
from edgelab.kube.interface import KubeApi, Resource
from edgelab.kube.resources import CRDS


def build(
    api: KubeApi,
    clock: Clock,
    ca_pem: str = "",
    kinds: Sequence[Resource] = BUILT_IN,
    *,
    cluster: Cluster | None = None,
    trust: Trust | None = None,
) -> list[Module]:
    """The modules to run: informers (those of `cluster`, when others share it) and controllers.

    `ca_pem` is published in every namespace (nothing is, when it is empty). `kinds` are the built-in
    kinds that hold objects and can be listed, watched and deleted; custom ones are found. Without `trust`
    nobody signs certificates and fills token Secrets.
    """
    cluster = cluster or Cluster(api, clock)
    definitions, built_in = cluster.view(CRDS), tuple(kinds)
    ttl = NodeTTLController(cluster)
    health = NodeHealthController(cluster, ttl.missing)
    controllers: list[Module] = [
        ServiceAccountController(cluster),
        DeploymentController(cluster),
        ReplicaSetController(cluster),
        ReplicationControllerManager(cluster),
        DaemonSetController(cluster),
        StatefulSetController(cluster),
        JobController(cluster),
        CronJobController(cluster),
        TTLAfterFinishedController(cluster),
        DisruptionController(cluster),
        StaleDisruptions(cluster),
        EndpointsController(cluster),
        EndpointSliceController(cluster),
        MirroringController(cluster),
        ServiceCIDRController(cluster),
        VolumeBinder(cluster),
        ProtectionController(cluster),
        ClassProtectionController(cluster),
        EphemeralVolumeController(cluster),
        ExpansionController(cluster),
        NamespaceController(cluster, lambda: served(built_in, definitions)),
        GarbageCollector(cluster, built_in),
        ResourceQuotaController(cluster, lambda: served(built_in, definitions)),
        PodGarbageCollector(cluster),
        ttl,
        health,
        Heartbeats(cluster, health),
        TaintEvictionController(cluster),
        ClusterRoleAggregationController(cluster),
    ]
    if trust is not None:
        controllers += [
            BootstrapTokenController(cluster),
            CertificateRequestController(cluster, trust),
            TokenSecretController(cluster, trust),
        ]
    if ca_pem:
        controllers.append(RootCAPublisher(cluster, ca_pem))
    return [*cluster.informers, *controllers]
