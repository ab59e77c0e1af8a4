"""What the filters set in manifests of Calico and metrics-server, and what they refuse.

`EDGELAB_CALICO_MANIFEST` and `EDGELAB_METRICS_SERVER_MANIFEST` name the real files instead of the stand-ins.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.edgelab.kubeedge.plugins.filter.calico_manifest import calico_manifest
from ansible_collections.edgelab.kubeedge.plugins.filter.metrics_server_manifest import (
    metrics_server_manifest,
)
from ansible_collections.edgelab.kubeedge.plugins.plugin_utils import kube_manifest

from tests.unit.module_harness import CHECKOUT

STAND_INS = CHECKOUT / "molecule" / "resources" / "manifests"
CALICO = Path(os.environ.get("EDGELAB_CALICO_MANIFEST", STAND_INS / "calico.yaml")).read_text(
    encoding="utf-8"
)
METRICS = Path(
    os.environ.get("EDGELAB_METRICS_SERVER_MANIFEST", STAND_INS / "metrics_server.yaml")
).read_text(encoding="utf-8")
CIDR = "10.244.0.0/16"


def daemon(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return kube_manifest.container(kube_manifest.find(objects, "DaemonSet", "calico-node"), "calico-node")


def environment(objects: list[dict[str, Any]]) -> dict[str, Any]:
    entries = daemon(objects)["env"]
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}


def plain(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def test_the_range_is_set_although_the_manifest_has_it_as_a_comment() -> None:
    assert "# - name: CALICO_IPV4POOL_CIDR" in CALICO
    assert "CALICO_IPV4POOL_CIDR" not in json.dumps(plain(CALICO))
    found = environment(calico_manifest(CALICO, pod_cidr=CIDR))
    assert found["CALICO_IPV4POOL_CIDR"] == CIDR
    assert found["IP_AUTODETECTION_METHOD"] == "kubernetes-internal-ip"
    assert (found["CALICO_IPV4POOL_IPIP"], found["CALICO_IPV4POOL_VXLAN"]) == ("Always", "Never")


def test_the_range_replaces_one_that_is_there() -> None:
    text = CALICO.replace("# - name: CALICO_IPV4POOL_CIDR", "- name: CALICO_IPV4POOL_CIDR")
    text = text.replace('#   value: "192.168.0.0/16"', '  value: "192.168.0.0/16"')
    assert "192.168.0.0/16" in json.dumps(plain(text))
    objects = calico_manifest(text, pod_cidr=CIDR)
    assert environment(objects)["CALICO_IPV4POOL_CIDR"] == CIDR
    assert "192.168.0.0/16" not in json.dumps(objects)


def test_nothing_else_is_changed() -> None:
    objects = calico_manifest(CALICO, pod_cidr=CIDR)
    assert [(one["kind"], one["metadata"]["name"]) for one in objects] == [
        (one["kind"], one["metadata"]["name"]) for one in plain(CALICO)
    ]
    others = [one for one in objects if one["kind"] not in ("DaemonSet", "CustomResourceDefinition")]
    assert others == [
        one for one in plain(CALICO) if one["kind"] not in ("DaemonSet", "CustomResourceDefinition")
    ]


@pytest.mark.parametrize(
    ("encapsulation", "ipip", "vxlan", "backend"),
    [
        ("IPIP", "Always", "Never", "bird"),
        ("IPIPCrossSubnet", "CrossSubnet", "Never", "bird"),
        ("VXLAN", "Never", "Always", "vxlan"),
        ("VXLANCrossSubnet", "Never", "CrossSubnet", "vxlan"),
        ("None", "Never", "Never", "bird"),
    ],
)
def test_encapsulation(encapsulation: str, ipip: str, vxlan: str, backend: str) -> None:
    objects = calico_manifest(CALICO, pod_cidr=CIDR, encapsulation=encapsulation)
    found = environment(objects)
    assert (found["CALICO_IPV4POOL_IPIP"], found["CALICO_IPV4POOL_VXLAN"]) == (ipip, vxlan)
    assert kube_manifest.find(objects, "ConfigMap", "calico-config")["data"]["calico_backend"] == backend
    probes = json.dumps([daemon(objects)["livenessProbe"], daemon(objects)["readinessProbe"]])
    assert ("-bird-live" in probes, "-bird-ready" in probes) == (backend == "bird", backend == "bird")
    assert "-felix-live" in probes


def test_mtu_registry_and_further_variables() -> None:
    objects = calico_manifest(
        CALICO,
        pod_cidr=CIDR,
        mtu=1380,
        registry="mirror.lan:5000/quay/",
        ip_autodetection="interface=eth1",
        environment={"FELIX_LOGSEVERITYSCREEN": "Warning", "DATASTORE_TYPE": "kubernetes"},
    )
    assert kube_manifest.find(objects, "ConfigMap", "calico-config")["data"]["veth_mtu"] == "1380"
    images = [
        one["image"]
        for obj in objects
        if obj["kind"] in ("DaemonSet", "Deployment")
        for one in kube_manifest.containers(obj)
    ]
    assert len(images) > 2
    assert all(image.startswith("mirror.lan:5000/quay/calico/") for image in images)
    found = environment(objects)
    assert found["IP_AUTODETECTION_METHOD"] == "interface=eth1"
    assert found["FELIX_LOGSEVERITYSCREEN"] == "Warning"


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("kind: X\napiVersion: v1\nmetadata: {name: x}\n", {}, "it has no DaemonSet calico-node"),
        ("<html>404</html>", {}, "its document 1 is no Kubernetes object"),
        ("a: [", {}, "it is no YAML"),
        (CALICO, {"pod_cidr": "10.244.0.1/16"}, "has host bits set"),
        (CALICO, {"pod_cidr": "fd00::/64"}, "no range of IPv4 addresses"),
        (CALICO, {"encapsulation": "GRE"}, "is none of IPIP, IPIPCrossSubnet"),
    ],
)
def test_what_cannot_work_is_refused(text: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        calico_manifest(text, **{"pod_cidr": CIDR, **options})


def test_what_a_server_does_not_store_is_left_out() -> None:
    """It would be a difference for ever: in check mode a second run would promise changes."""
    text = json.dumps(calico_manifest(CALICO, pod_cidr=CIDR))
    assert "preserveUnknownFields" in CALICO
    for word in ("preserveUnknownFields", "storedVersions", '"readOnly": false', ": null"):
        assert word not in text
    assert '"readOnly": true' in text


def arguments(**options: Any) -> list[str]:
    objects = metrics_server_manifest(METRICS, **options)
    server = kube_manifest.container(
        kube_manifest.find(objects, "Deployment", "metrics-server"), "metrics-server"
    )
    found: list[str] = server["args"]
    return found


def test_arguments_of_metrics_server() -> None:
    assert "--kubelet-insecure-tls" not in arguments()
    found = arguments(
        insecure_tls=True, address_types=["Hostname"], arguments={"v": 4, "metric-resolution": None}
    )
    assert "--kubelet-insecure-tls" in found
    assert [text for text in found if "address-types" in text] == [
        "--kubelet-preferred-address-types=Hostname"
    ]
    assert "--v=4" in found
    assert not any(text.startswith("--metric-resolution") for text in found)
    assert "--secure-port=10250" in found


def test_an_argument_keeps_its_place() -> None:
    assert [text.split("=")[0] for text in arguments(address_types=["Hostname"])] == [
        text.split("=")[0] for text in arguments()
    ]


def test_tolerations_are_added_once() -> None:
    toleration = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
    objects = metrics_server_manifest(METRICS, tolerations=[toleration])
    again = metrics_server_manifest(yaml.safe_dump_all(objects), tolerations=[toleration])
    for done in (objects, again):
        deployment = kube_manifest.find(done, "Deployment", "metrics-server")
        assert deployment["spec"]["template"]["spec"]["tolerations"] == [toleration]


def test_metrics_server_from_a_mirror() -> None:
    objects = metrics_server_manifest(METRICS, registry="mirror.lan")
    [image] = [
        one["image"]
        for one in kube_manifest.containers(kube_manifest.find(objects, "Deployment", "metrics-server"))
    ]
    assert image.startswith("mirror.lan/metrics-server/metrics-server:")


def test_another_manifest_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="it has no Deployment metrics-server"):
        metrics_server_manifest(CALICO)
