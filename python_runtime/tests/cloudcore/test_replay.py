"""Recorded sessions of a Go CloudCore and a Go EdgeCore, played by a scripted node against our CloudCore."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cloudcore.cloud import running
from tests.cloudcore.stage import RECORDINGS, Stage, messages

from edgelab.kube.resources import CONFIG_MAPS, DEVICE_STATUSES, NODES
from edgelab.protocol.message import Message

LIFE = (
    "01-edgecore-first-join",
    "02-idle-keepalive-lease-status",
    "03-pod-create-with-configmap-secret",
    "04-pod-update-labels",
    "05-configmap-update",
    "06-secret-update",
    "07-pod-delete",
    "08-configmap-secret-delete",
    "09-deployment-scheduler-path",
    "10-device-create",
    "11-mqtt-twin-get",
    "13-mqtt-twin-update",
    "14-mqtt-state-update",
    "15-cloud-desired-update",
    "16-mqtt-twin-cloud-observed",
    "17-device-property-add",
    "18-device-delete",
    "24-node-label",
)
"""One life of a node, in order."""
DEVICES = ("35-dmi-hub",)
"""Sessions of their own."""
ELSEWHERE = "played in tests/component/metaserver: an API server has to answer"
RULES = "played in tests/cloudcore/router/test_recordings.py: rules and their targets are needed"
NOT_PLAYED = {
    "19-router-rules-create": RULES,
    "20-router-rest-to-eventbus": RULES,
    "21-router-eventbus-to-rest": RULES,
    "22-router-rest-to-servicebus": RULES,
    "23-router-rules-delete": RULES,
    "34-metaserver-local": ELSEWHERE,
    "34-metaserver-online": ELSEWHERE,
    "34-metaserver-rewatch": ELSEWHERE,
    "34-metaserver-write-watch": ELSEWHERE,
    "36-imageprepulljob": "played in test_taskmanager: jobs come from the API",
    "37-servicebus": RULES,
    "41-csi-uds": "volumes by a unix socket: left out of this runtime",
}


def test_every_recording_is_played_or_has_a_reason_not_to_be() -> None:
    there = {path.stem for path in RECORDINGS.glob("*.jsonl")}
    assert there == {*LIFE, *DEVICES, *NOT_PLAYED}


def sent_by_synccontroller(message: Message) -> bool:
    """The original brings changed devices from a source whose device messages no node hands to its mapper."""
    return message.route.source == "edgecontroller" and "/device" in message.route.resource


def told_by_the_cloud(name: str) -> int:
    """How many messages of the recorded cloud there are to compare."""
    return sum(cloud and not sent_by_synccontroller(message) for cloud, message in messages(name))


async def test_a_recorded_life_of_a_node_gets_the_recorded_answers_and_pushes(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        edge = await cloud.join()
        stage = Stage(cloud, edge, sent_by_synccontroller)
        for name in ("kube-root-ca.crt", "openshift-service-ca.crt"):
            await cloud.api.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": {"a": "b"}}, "default")
        checked = {name: await stage.play(name) for name in LIFE}
        assert checked == {name: told_by_the_cloud(name) for name in LIFE}
        status = cloud.api.one(DEVICE_STATUSES, "sensor1")
        assert status["status"]["state"] == "online"
        twin = status["status"]["twins"][0]
        assert twin["propertyName"] == "temperature"
        assert twin["reported"] == {
            "value": "25",
            "metadata": {"timestamp": "1795246709580", "type": "string"},
        }
        assert cloud.api.one(NODES, "edge1")["status"]["conditions"]
        await edge.close()


@pytest.mark.parametrize("name", DEVICES)
async def test_a_recorded_session_with_devices_gets_the_recorded_messages(tmp_path: Path, name: str) -> None:
    async with running(tmp_path) as cloud:
        await cloud.node()
        edge = await cloud.join()
        stage = Stage(cloud, edge, sent_by_synccontroller)
        assert await stage.play(name) == told_by_the_cloud(name)
        await edge.close()
