#!/usr/bin/env python3
"""Stands in for kubelets without containers, where a scenario is about what the control plane decides.

Runs on a host with EdgeSite, with the runtime's Python. All Node objects stay Ready, pods that are bound
to one run at once and end when they are deleted. What pods would do that a role waits for is done for them:
calico-node makes the pool of addresses from its environment, and an API service is available once its
Deployment is.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
from pathlib import Path
from typing import Any

from edgelab.kube.client import HttpClient
from edgelab.kube.interface import Resource
from edgelab.kube.kubeconfig import load
from edgelab.kube.resources import DEPLOYMENTS, LEASES, NODES, PODS
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

POOLS = Resource("crd.projectcalico.org", "v1", "ippools", "IPPool", namespaced=False)
API_SERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False)
LEASE_NAMESPACE = "kube-node-lease"
BEAT = 5.0
STEP = 0.3
ROOM = {"cpu": "4", "memory": "4Gi", "pods": "110"}


def now() -> dt.datetime:
    """The moment, in UTC."""
    return dt.datetime.now(dt.UTC)


def true(kind: str) -> Obj:
    """A condition that holds."""
    moment = now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": kind, "status": "True", "reason": "StandIn", "lastTransitionTime": moment}


async def beat(api: HttpClient, node: str) -> None:
    """Say that a node is alive and Ready."""
    status = {"conditions": [true("Ready")], "capacity": ROOM, "allocatable": ROOM}
    await api.patch(NODES, node, {"status": status}, subresource="status")
    renewed = {"spec": {"holderIdentity": node, "renewTime": now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")}}
    try:
        await api.patch(LEASES, node, renewed, LEASE_NAMESPACE)
    except ApiError as error:
        if error.code != 404:
            raise
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": node},
            **renewed,
        }
        await api.create(LEASES, lease, LEASE_NAMESPACE)


async def run_pod(api: HttpClient, pod: Obj) -> None:
    """Let a pod that is bound run, or end."""
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        await api.delete(PODS, metadata["name"], metadata["namespace"], options={"gracePeriodSeconds": 0})
    elif (pod.get("status") or {}).get("phase") != "Running":
        status = {"phase": "Running", "conditions": [true("Ready"), true("ContainersReady")]}
        await api.patch(
            PODS, metadata["name"], {"status": status}, metadata["namespace"], subresource="status"
        )
    elif (metadata.get("labels") or {}).get("k8s-app") == "calico-node":
        await make_pool(api, pod)


async def make_pool(api: HttpClient, pod: Obj) -> None:
    """As calico-node does when there is no pool."""
    if (await api.list(POOLS)).items:
        return
    entries = pod["spec"]["containers"][0]["env"]
    values = {entry["name"]: entry.get("value", "") for entry in entries}
    spec = {
        "cidr": values["CALICO_IPV4POOL_CIDR"],
        "ipipMode": values["CALICO_IPV4POOL_IPIP"],
        "vxlanMode": values["CALICO_IPV4POOL_VXLAN"],
    }
    metadata = {"name": "default-ipv4-ippool"}
    await api.create(
        POOLS,
        {"apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "metadata": metadata, "spec": spec},
    )


async def answer_for(api: HttpClient, service: Obj) -> None:
    """Say that an API service is available, once its Deployment is."""
    if (service.get("status") or {}).get("conditions"):
        return
    behind = service["spec"]["service"]
    deployment = await api.get(DEPLOYMENTS, behind["name"], behind["namespace"])
    if (deployment.get("status") or {}).get("availableReplicas"):
        condition = {"status": {"conditions": [true("Available")]}}
        await api.patch(API_SERVICES, service["metadata"]["name"], condition)


async def step(api: HttpClient) -> None:
    """Look at all pods and API services once."""
    work = [(run_pod, pod) for pod in (await api.list(PODS)).items if pod["spec"].get("nodeName")]
    try:
        work += [(answer_for, service) for service in (await api.list(API_SERVICES)).items]
    except ApiError as error:
        if error.code != 404:
            raise
    for act, obj in work:
        try:
            await act(api, obj)
        except ApiError as error:
            if error.code not in (404, 409):
                raise


async def main(kubeconfig: Path) -> None:
    """Go on until the process is ended; systemd starts it anew when the API server was away."""
    async with HttpClient(load(kubeconfig)) as api:
        due = 0.0
        while True:
            if asyncio.get_running_loop().time() >= due:
                for node in (await api.list(NODES)).items:
                    await beat(api, node["metadata"]["name"])
                due = asyncio.get_running_loop().time() + BEAT
            await step(api)
            await asyncio.sleep(STEP)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
