"""The page that says what EdgeSite serves says it right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.edgesite.apiserver.running import Client

PAGE = Path(__file__).parents[4] / "docs/reference/edgesite-api.md"
ALL = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
WORDS = {"all": ALL, "all but deletecollection": ALL - {"deletecollection"}}
NAMES = {
    "Admission": """
        CertificateApproval CertificateSigning CertificateSubjectRestriction ClusterTrustBundleAttest
        DefaultIngressClass DefaultStorageClass DefaultTolerationSeconds LimitRanger
        MutatingAdmissionPolicy MutatingAdmissionWebhook NamespaceLifecycle NodeRestriction
        PersistentVolumeClaimResize PodSecurity PodTopologyLabels Priority ResourceQuota RuntimeClass
        ServiceAccount StorageObjectInUseProtection TaintNodesByCondition ValidatingAdmissionPolicy
        ValidatingAdmissionWebhook
    """,
    "Controllers": """
        bootstrap-signer-controller certificatesigningrequest-approving-controller
        certificatesigningrequest-cleaner-controller certificatesigningrequest-signing-controller
        cloud-node-lifecycle-controller clusterrole-aggregation-controller cronjob-controller
        daemonset-controller deployment-controller device-taint-eviction-controller
        disruption-controller endpoints-controller endpointslice-controller
        endpointslice-mirroring-controller ephemeral-volume-controller garbage-collector-controller
        horizontal-pod-autoscaler-controller job-controller
        kube-apiserver-serving-clustertrustbundle-publisher-controller
        legacy-serviceaccount-token-cleaner-controller namespace-controller node-ipam-controller
        node-lifecycle-controller node-route-controller persistentvolume-attach-detach-controller
        persistentvolume-binder-controller persistentvolume-expander-controller
        persistentvolume-protection-controller persistentvolumeclaim-protection-controller
        pod-garbage-collector-controller podcertificaterequest-cleaner-controller
        replicaset-controller replicationcontroller-controller resourceclaim-controller
        resourcequota-controller root-ca-certificate-publisher-controller selinux-warning-controller
        service-cidr-controller service-lb-controller serviceaccount-controller
        serviceaccount-token-controller statefulset-controller storage-version-migrator-controller
        storageversion-garbage-collector-controller taint-eviction-controller
        token-cleaner-controller ttl-after-finished-controller ttl-controller
        validatingadmissionpolicy-status-controller volumeattributesclass-protection-controller
    """,
    "Scheduler": """
        DefaultBinder DefaultPreemption DynamicResources ImageLocality InterPodAffinity NodeAffinity
        NodeName NodePorts NodeResourcesBalancedAllocation NodeResourcesFit NodeUnschedulable
        NodeVolumeLimits PodTopologySpread PrioritySort SchedulingGates TaintToleration VolumeBinding
        VolumeRestrictions VolumeZone
    """,
}
"""What Kubernetes' servers have in their defaults (kubeadm's additions included)."""
Found = dict[tuple[str, str], tuple[set[str], set[str]]]


def section(title: str) -> str:
    """The text below a heading, until what is not there."""
    text = PAGE.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    return text.partition("\nNot there:\n")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def described() -> Found:
    found: Found = {}
    for version, resource, verbs, subresources in rows(section("Resources")):
        known = WORDS.get(verbs) or set(verbs.split(", "))
        found[version, resource] = (known, set(filter(None, subresources.split(", "))))
    return found


def served(version: str, listed: list[dict[str, Any]]) -> Found:
    found: Found = {
        (version, item["name"]): (set(item["verbs"]), set()) for item in listed if "/" not in item["name"]
    }
    for item in listed:
        resource, slash, name = item["name"].partition("/")
        if slash:
            found[version, resource][1].add(name)
    return found


async def test_every_resource_is_on_the_page_with_its_verbs(client: Client) -> None:
    _, groups = await client.call("GET", "/apis")
    versions = [entry["groupVersion"] for group in groups["groups"] for entry in group["versions"]]
    found = served("v1", (await client.call("GET", "/api/v1"))[1]["resources"])
    for version in versions:
        found |= served(version, (await client.call("GET", f"/apis/{version}"))[1]["resources"])
    assert described() == found


@pytest.mark.parametrize("title", NAMES)
def test_everything_that_kubernetes_has_by_default_is_spoken_of_once(title: str) -> None:
    cells = rows(section(title))
    assert all(len(row) == 2 and row[1] for row in cells)
    assert sorted(name for row in cells for name in row[0].split(", ")) == sorted(NAMES[title].split())
