"""EdgeSite calls the webhooks of a CloudCore process over TLS: admission and conversion are real here."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.component.cloudcore.test_chain import BIN, Place, becomes, free_port, started, stop, wait_until

from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import (
    CRDS,
    DEVICE_MODELS,
    DEVICE_STATUSES,
    DEVICES,
    NODES,
    PODS,
    RULE_ENDPOINTS,
    RULES,
    VALIDATING_WEBHOOKS,
)
from edgelab.objects.status import ApiError

OLD_DEVICES = Resource("devices.kubeedge.io", "v1alpha2", "devices", "Device")
OLD_MODELS = Resource("devices.kubeedge.io", "v1alpha2", "devicemodels", "DeviceModel")
OLD_STATUSES = Resource("devices.kubeedge.io", "v1alpha2", "devicestatuses", "DeviceStatus")
DOCUMENTS = Path(__file__).parents[2] / "objects" / "vectors"


class CloudCore:
    """A process that is started with other settings again and again."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, webhooks: bool) -> None:
        self.stop()
        none = str(self._place.directory / "none")
        files = ("tlsCAFile", "tlsCAKeyFile", "tlsCertFile", "tlsPrivateKeyFile")
        hub: dict[str, Any] = {
            **{name: f"{none}/{name}" for name in files},
            "advertiseAddress": ["127.0.0.1"],
            "websocket": {"address": "127.0.0.1", "port": self._place.nodes},
            "https": {"address": "127.0.0.1", "port": self._place.https},
        }
        settings = {
            "commonConfig": {"monitorServer": {"bindAddress": "127.0.0.1:0"}},
            "kubeAPIConfig": {"kubeConfig": str(self._place.kubeconfig)},
            "modules": {"cloudHub": hub},
            "edgelab": {"webhooks": {"enable": webhooks, "address": "127.0.0.1", "port": self._port}},
        }
        path, log = self._place.directory / "cloudcore.yaml", self._place.directory / "cloudcore.log"
        path.write_text(yaml.safe_dump(settings))
        log.unlink(missing_ok=True)
        self._process = started([BIN / "cloudcore", "--config", path], log)
        wait_until(lambda: "serves edge nodes" in log.read_text())

    def stop(self) -> None:
        if self._process is not None:
            stop(self._process)
            self._process = None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("webhooks")
    place = Place(directory, free_port(), free_port(), free_port())
    arguments = ["server", "--data-dir", directory / "site", "--listen", f"127.0.0.1:{place.api}"]
    arguments += ["--advertise-address", "127.0.0.1", "--write-kubeconfig", place.kubeconfig]
    site = started([BIN / "edgesite", *arguments], directory / "site.log")
    try:
        wait_until(place.kubeconfig.exists)
        wait_until(lambda: "serving" in (directory / "site.log").read_text())
        command = [BIN / "keadm", "init", "--cluster-only", "--kube-config", place.kubeconfig]
        subprocess.run(command, check=True, capture_output=True)
        yield place
    finally:
        stop(site)


@pytest.fixture(scope="module")
def cloudcore(place: Place) -> Iterator[CloudCore]:
    process = CloudCore(place)
    process.start(webhooks=True)
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
async def api(place: Place, cloudcore: CloudCore) -> AsyncIterator[HttpClient]:
    async with HttpClient(kubeconfig.load(place.kubeconfig)) as client:
        await becomes(lambda: registered(client))
        yield client


async def registered(api: HttpClient) -> bool:
    crd = await api.get(CRDS, "devicemodels.devices.kubeedge.io")
    return bool(crd["spec"]["conversion"]["strategy"] == "Webhook")


def named(name: str, spec: Obj) -> Obj:
    return {"metadata": {"name": name}, "spec": spec}


async def test_a_device_with_a_property_twice_is_refused(api: HttpClient) -> None:
    spec = {"properties": [{"name": "temperature"}, {"name": "temperature"}]}
    for kind in (DEVICES, DEVICE_MODELS):
        with pytest.raises(ApiError, match=r"properties\[1\]\.name: 'temperature' is the name of") as refusal:
            await api.create(kind, named("twice", spec), "default")
        assert refusal.value.code == 422


async def test_rules_are_checked_against_what_the_cluster_has(api: HttpClient) -> None:
    spec = {
        "source": "my-rest",
        "sourceResource": {"path": "/test"},
        "target": "my-bus",
        "targetResource": {"topic": "t"},
    }
    with pytest.raises(ApiError, match="no RuleEndpoint 'my-rest' in namespace 'default'"):
        await api.create(RULES, named("r1", spec), "default")
    await api.create(RULE_ENDPOINTS, named("my-rest", {"ruleEndpointType": "rest"}), "default")
    await api.create(RULE_ENDPOINTS, named("my-bus", {"ruleEndpointType": "eventbus"}), "default")
    await api.create(RULES, named("r1", spec), "default")
    with pytest.raises(ApiError, match="rule 'r1' takes messages from path '/test' already"):
        await api.create(RULES, named("r2", spec), "default")
    counted = await api.patch(RULES, "r1", {"status": {"successMessages": 1}}, "default")
    assert counted["status"]["successMessages"] == 1
    with pytest.raises(ApiError, match="no rule leads from rest to rest"):
        await api.patch(RULES, "r1", {"spec": {"target": "my-rest"}}, "default")
    changed = await api.patch(RULES, "r1", {"spec": {"targetResource": {"topic": "u"}}}, "default")
    assert changed["spec"]["targetResource"] == {"topic": "u"}
    await api.delete(RULES, "r1", "default")


async def test_a_pod_of_an_autonomous_node_stays_for_ever(api: HttpClient) -> None:
    pod = named("stays", {"containers": [{"name": "c", "image": "i"}], "nodeName": "nowhere"})
    pod["metadata"]["labels"] = {"app-offline.kubeedge.io": "autonomy"}
    created = await api.create(PODS, pod, "default")
    unreachable = [t for t in created["spec"]["tolerations"] if t["key"] == "node.kubernetes.io/unreachable"]
    assert unreachable == [{"key": "node.kubernetes.io/unreachable", "operator": "Exists"}]


async def test_documents_of_old_tutorials_are_served_in_both_layouts(api: HttpClient) -> None:
    model = yaml.safe_load((DOCUMENTS / "devicemodel-v1alpha2.yaml").read_text())
    device = yaml.safe_load((DOCUMENTS / "device-modbus-v1alpha2.yaml").read_text())
    await api.create(OLD_MODELS, model, "default")
    await api.create(OLD_DEVICES, device, "default")
    new = await api.get(DEVICES, "sensor-tag-instance-01", "default")
    assert new["spec"]["nodeName"] == "edge1"
    assert new["spec"]["properties"][0]["desired"]["value"] == "15"
    assert (await api.get(DEVICE_MODELS, "sensor-tag-model", "default"))["spec"]["properties"][0][
        "type"
    ] == "INT"
    old = await api.get(OLD_DEVICES, "sensor-tag-instance-01", "default")
    assert old["spec"] == device["spec"]
    assert [obj["spec"] for obj in (await api.list(OLD_MODELS)).items] == [model["spec"]]


async def test_what_a_device_reported_is_served_in_the_old_layout_too(api: HttpClient) -> None:
    twins = [{"propertyName": "t", "reported": {"value": "20"}, "observedDesired": {"value": "21"}}]
    status = {"metadata": {"name": "seen"}, "status": {"state": "online", "twins": twins}}
    await api.create(DEVICE_STATUSES, status, "default")
    old = await api.get(OLD_STATUSES, "seen", "default")
    assert old["apiVersion"] == "devices.kubeedge.io/v1alpha2"
    assert old["status"] == status["status"]
    beside = {"metadata": {"name": "beside"}, "twins": twins}
    await api.create(OLD_STATUSES, beside, "default")
    assert (await api.get(DEVICE_STATUSES, "beside", "default"))["status"]["twins"] == twins


async def test_a_document_that_cannot_be_converted_is_refused_with_the_field(api: HttpClient) -> None:
    device = named("odd", {"propertyVisitors": [{"propertyName": "a", "reportCycle": "soon"}]})
    with pytest.raises(ApiError, match=r"propertyVisitors\[0\]\.reportCycle: expected a whole number"):
        await api.create(OLD_DEVICES, device, "default")


async def test_disabling_webhooks_takes_them_away(
    place: Place, cloudcore: CloudCore, api: HttpClient
) -> None:
    cloudcore.start(webhooks=False)
    assert not (await api.list(VALIDATING_WEBHOOKS)).items
    assert not await registered(api)
    await api.create(RULES, named("r3", spec_of_nobody()), "default")
    cloudcore.start(webhooks=True)
    await becomes(lambda: registered(api))
    assert (await api.list(NODES)).items == []


def spec_of_nobody() -> Obj:
    return {"source": "a", "sourceResource": {}, "target": "b", "targetResource": {}}
