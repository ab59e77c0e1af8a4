"""The API server's objects as CloudCore sees them: one informer for each kind that a module needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.tasks import guard
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi, Resource
from edgelab.kube.resources import (
    ACCESSES,
    CLUSTER_OBJECT_SYNCS,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CONFIG_UPDATE_JOBS,
    CSRS,
    DEVICE_MODELS,
    DEVICE_STATUSES,
    DEVICES,
    EDGE_APPLICATIONS,
    IMAGE_PRE_PULL_JOBS,
    NODE_GROUPS,
    NODE_UPGRADE_JOBS,
    NODES,
    OBJECT_SYNCS,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    RULE_ENDPOINTS,
    RULES,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from edgelab.settings.cloudcore import CloudCore

CORE = (NODES, PODS, CONFIG_MAPS, SECRETS)
DEVICE_KINDS = (DEVICES, DEVICE_MODELS, DEVICE_STATUSES)
SYNCS = (OBJECT_SYNCS, CLUSTER_OBJECT_SYNCS)
POLICY_KINDS = (
    ACCESSES,
    SERVICE_ACCOUNTS,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    CSRS,
)
"""What the gate requireAuthorization needs besides."""
APPLICATION_KINDS = (NODE_GROUPS, EDGE_APPLICATIONS)
JOB_KINDS = (NODE_UPGRADE_JOBS, IMAGE_PRE_PULL_JOBS, CONFIG_UPDATE_JOBS)
EDGE_LABEL = "node-role.kubernetes.io/edge"


def policed(settings: CloudCore) -> bool:
    """Whether MetaServers at the edge ask who calls them, and need to know who may what."""
    return settings.featureGates.get("requireAuthorization", False)


def optional_kinds(settings: CloudCore) -> tuple[Resource, ...]:
    """The kinds besides CORE that the enabled modules follow."""
    devices = DEVICE_KINDS if settings.modules.deviceController.enable else ()
    policy = POLICY_KINDS if policed(settings) else ()
    applications = APPLICATION_KINDS if settings.edgelab.controllerManager.enable else ()
    jobs = JOB_KINDS if settings.modules.taskManager.enable else ()
    rules = (RULES, RULE_ENDPOINTS) if settings.modules.router.enable else ()
    return (*devices, *rules, *policy, *applications, *jobs, *SYNCS)


class Cluster:
    """A module: runs the informers of `resources`."""

    name = "informers"

    def __init__(self, api: KubeApi, resources: tuple[Resource, ...], clock: Clock = SYSTEM) -> None:
        self._informers = {resource: Informer(api, resource, clock=clock) for resource in resources}

    def __getitem__(self, resource: Resource) -> Informer:
        return self._informers[resource]

    def __iter__(self) -> Iterator[Informer]:
        return iter(self._informers.values())

    def by_kind(self) -> dict[tuple[str, str], Informer]:
        """Informers by (apiVersion, kind)."""
        return {(r.api_version, r.kind): informer for r, informer in self._informers.items()}

    @property
    def synced(self) -> bool:
        """Whether every kind has been listed."""
        return all(informer.synced for informer in self._informers.values())

    async def wait_synced(self) -> None:
        """Wait until every kind has been listed."""
        for informer in self._informers.values():
            await informer.wait_synced()

    async def run(self) -> None:
        """Follow the server until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(guard(informer.name, informer.run()), name=informer.name)
