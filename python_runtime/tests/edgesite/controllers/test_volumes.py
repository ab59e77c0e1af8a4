from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.edgesite.manifests import pod
from tests.edgesite.site import Site, site

from edgelab.edgesite.controllers.support.kinds import STORAGE_CLASSES, VOLUME_ATTRIBUTES_CLASSES
from edgelab.edgesite.controllers.volumes.binder import cannot_delete
from edgelab.kube.interface import Obj
from edgelab.kube.resources import EVENTS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    async with site(with_scheduler=False) as made:
        await made.node("n1")
        await made.node("n2", labels={"disk": "here"})
        yield made


async def volume(cluster: Site, name: str, size: str = "1Gi", **spec: Any) -> None:
    made: Obj = {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "local",
            "local": {"path": "/data"},
            **spec,
        },
    }
    await cluster.api.create(PERSISTENT_VOLUMES, made)
    await cluster.settle()


async def claim(cluster: Site, name: str = "c", size: str = "1Gi", **spec: Any) -> None:
    wanted = {"requests": {"storage": size}}
    made = {"accessModes": ["ReadWriteOnce"], "storageClassName": "local", "resources": wanted, **spec}
    metadata = {"name": name, "namespace": "default"}
    await cluster.api.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": metadata, "spec": made}, "default")
    await cluster.settle()


def bound(cluster: Site, name: str = "c") -> str:
    found = cluster.api.one(PERSISTENT_VOLUME_CLAIMS, name)
    return str(found["spec"].get("volumeName") or found["status"]["phase"])


async def test_the_smallest_that_suits_is_taken(cluster: Site) -> None:
    await volume(cluster, "big", "10Gi")
    await volume(cluster, "small", "2Gi")
    await claim(cluster)
    assert bound(cluster) == "small"
    await claim(cluster, "other", "3Gi")
    assert bound(cluster, "other") == "big"


async def test_a_claim_waits_for_its_volume(cluster: Site) -> None:
    await claim(cluster)
    assert bound(cluster) == "Pending"
    await volume(cluster, "late")
    assert bound(cluster) == "late"


async def test_a_waiting_class_binds_where_the_pod_is(cluster: Site) -> None:
    name = {"metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner"}
    await cluster.api.create(STORAGE_CLASSES, {**name, "volumeBindingMode": "WaitForFirstConsumer"})
    expression = {"key": "disk", "operator": "In", "values": ["here"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    await volume(cluster, "there", nodeAffinity={"required": required})
    await claim(cluster)
    assert bound(cluster) == "Pending"
    mounts = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    await cluster.api.create(PODS, pod("p1", nodeName="n1", volumes=mounts), "default")
    await cluster.settle()
    assert bound(cluster) == "Pending"
    await cluster.api.delete(PODS, "p1", "default", options={"gracePeriodSeconds": 0})
    await cluster.api.create(PODS, pod("p2", nodeName="n2", volumes=mounts), "default")
    await cluster.settle()
    assert bound(cluster) == "there"


async def test_what_a_pod_uses_stays_until_it_ends(cluster: Site) -> None:
    await volume(cluster, "v")
    await claim(cluster)
    mounts = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    await cluster.api.create(PODS, pod("p", nodeName="n1", volumes=mounts), "default")
    await cluster.settle()
    await cluster.api.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
    await cluster.api.delete(PERSISTENT_VOLUMES, "v")
    await cluster.settle()
    assert bound(cluster) == "v"
    assert cluster.api.all(PERSISTENT_VOLUMES)
    await cluster.api.delete(PODS, "p", "default", options={"gracePeriodSeconds": 0})
    await cluster.settle()
    assert not cluster.api.all(PERSISTENT_VOLUME_CLAIMS)
    assert not cluster.api.all(PERSISTENT_VOLUMES)


async def test_a_volume_that_cannot_be_deleted_says_so(cluster: Site) -> None:
    await volume(cluster, "v", persistentVolumeReclaimPolicy="Delete")
    await claim(cluster)
    await cluster.api.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
    await cluster.settle()
    assert cluster.api.one(PERSISTENT_VOLUMES, "v")["status"]["phase"] == "Failed"
    text = 'error getting deleter volume plugin for volume "v": no deletable volume plugin matched'
    assert text in {event["message"] for event in cluster.api.all(EVENTS)}


async def test_a_lost_volume_is_told_once(cluster: Site) -> None:
    await volume(cluster, "v")
    await claim(cluster)
    await cluster.api.patch(PERSISTENT_VOLUMES, "v", {"metadata": {"finalizers": None}})
    await cluster.api.delete(PERSISTENT_VOLUMES, "v")
    await cluster.settle()
    assert cluster.api.one(PERSISTENT_VOLUME_CLAIMS, "c")["status"]["phase"] == "Lost"
    lost = [event for event in cluster.api.all(EVENTS) if event["reason"] == "ClaimLost"]
    assert [event["count"] for event in lost] == [1]


@pytest.mark.parametrize(("path", "refused"), [("/tmp/x", False), ("/tmp", True), ("/data", True)])
def test_host_paths_are_deleted_only_where_tests_keep_theirs(path: str, refused: bool) -> None:
    found = cannot_delete({"metadata": {"name": "v"}, "spec": {"hostPath": {"path": path}}})
    assert (found is not None) is refused


async def test_a_class_of_attributes_stays_as_long_as_something_names_it(cluster: Site) -> None:
    made = {"metadata": {"name": "fast"}, "driverName": "example.com"}
    await cluster.api.create(VOLUME_ATTRIBUTES_CLASSES, made)
    await claim(cluster, volumeAttributesClassName="fast")
    await cluster.settle()
    found = cluster.api.one(VOLUME_ATTRIBUTES_CLASSES, "fast")
    assert found["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]
    await cluster.api.delete(VOLUME_ATTRIBUTES_CLASSES, "fast")
    await cluster.settle()
    assert cluster.api.all(VOLUME_ATTRIBUTES_CLASSES)
    await cluster.api.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
    await cluster.settle()
    assert not cluster.api.all(VOLUME_ATTRIBUTES_CLASSES)
