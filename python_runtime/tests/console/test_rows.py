"""What the page shows of objects, and what is kept of them."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.console import rows, trimming

STAMP = "2026-08-06T10:00:10Z"
MILLISECONDS = 1_786_010_410_000


def pod(phase: str = "Running", *states: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "n", **metadata},
        "spec": {"containers": [{"image": "a"}]},
        "status": {"phase": phase, "containerStatuses": [{"state": state} for state in states]},
    }


def test_a_node_with_its_lease() -> None:
    node = {
        "metadata": {
            "name": "edge1",
            "creationTimestamp": STAMP,
            "labels": {"node-role.kubernetes.io/edge": ""},
        },
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "message": "well"}],
            "addresses": [
                {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "ExternalIP", "address": "10.0.0.1"},
                {"type": "Hostname", "address": "edge1"},
            ],
            "nodeInfo": {"kubeletVersion": "v1", "osImage": "Debian", "architecture": "arm64"},
        },
    }
    row = rows.node_row(node, {"spec": {"renewTime": "2026-08-06T10:00:10.000000Z"}})
    assert row == {
        "name": "edge1",
        "ready": True,
        "reason": "well",
        "schedulable": False,
        "roles": ["edge"],
        "version": "v1",
        "runtime": "",
        "system": "Debian arm64",
        "addresses": ["10.0.0.1"],
        "lease": MILLISECONDS,
        "created": MILLISECONDS,
    }


@pytest.mark.parametrize(("status", "ready"), [("False", False), ("Unknown", None)])
def test_a_node_that_is_not_ready_says_why(status: str, ready: bool | None) -> None:
    conditions = [{"type": "Ready", "status": status, "reason": "Gone"}]
    row = rows.node_row({"metadata": {"name": "e"}, "status": {"conditions": conditions}}, None)
    assert (row["ready"], row["reason"], row["lease"]) == (ready, "Gone", 0)
    assert rows.node_row({"metadata": {"name": "e"}}, None)["reason"] == "no status was reported yet"


@pytest.mark.parametrize(
    ("obj", "state"),
    [
        (pod(), "Running"),
        (pod("Pending", {"waiting": {"reason": "ImagePullBackOff"}}), "ImagePullBackOff"),
        (pod("Pending", {"waiting": {"reason": "PodInitializing"}}), "Pending"),
        (pod("Running", {"terminated": {"exitCode": 1, "reason": "OOMKilled"}}), "OOMKilled"),
        (pod("Running", {"terminated": {"exitCode": 2}}), "Error"),
        (pod("Succeeded", {"terminated": {"exitCode": 0}}), "Succeeded"),
        (pod("Running", deletionTimestamp=STAMP), "Terminating"),
        ({"metadata": {"name": "p"}, "status": {"phase": "Failed", "reason": "Evicted"}}, "Evicted"),
        ({"metadata": {"name": "p"}}, "Unknown"),
    ],
)
def test_a_pods_state_is_the_word_that_kubectl_prints(obj: dict[str, Any], state: str) -> None:
    assert rows.pod_row(obj)["state"] == state


def test_restarts_and_ready_containers_are_counted() -> None:
    obj = pod()
    obj["status"]["containerStatuses"] = [{"ready": True, "restartCount": 2}, {"restartCount": 3}]
    row = rows.pod_row(obj)
    assert (row["ready"], row["restarts"], row["images"], row["node"]) == ([1, 1], 5, ["a"], "")


def test_a_device_joins_what_is_wanted_reported_and_described() -> None:
    metadata = {"name": "d", "namespace": "n"}
    device = {
        "metadata": metadata,
        "spec": {
            "nodeName": "edge1",
            "deviceModelRef": {"name": "m"},
            "protocol": {"protocolName": "modbus", "configData": {"password": "hunter2"}},
            "properties": [{"name": "t", "desired": {"value": "60"}, "visitors": {"secret": "hunter2"}}],
        },
    }
    reported = {"value": "61", "metadata": {"timestamp": "1786010410000"}}
    twins = [
        {"propertyName": "t", "reported": reported},
        {"propertyName": "u", "reported": {"value": "x" * 300}, "observedDesired": {"value": "y"}},
    ]
    model = {"spec": {"properties": [{"name": "t", "unit": "C", "type": "FLOAT", "accessMode": "ReadWrite"}]}}
    row = rows.device_row(device, {"status": {"state": "online", "twins": twins}}, model)
    first, second = row.pop("twins")
    assert first == {
        "name": "t", "desired": "60", "reported": "61", "at": MILLISECONDS,
        "unit": "C", "type": "FLOAT", "access": "ReadWrite",
    }  # fmt: skip
    assert (second["desired"], len(second["reported"]), second["at"]) == ("y", 256, 0)
    assert (row["node"], row["model"], row["protocol"], row["state"]) == ("edge1", "m", "modbus", "online")
    assert "hunter2" not in str(row)


def test_a_device_of_which_nothing_is_known_yet_has_its_models_properties() -> None:
    model = {"spec": {"properties": [{"name": "t"}]}}
    [twin] = rows.device_row({"metadata": {"name": "d"}}, None, model)["twins"]
    assert (twin["name"], twin["reported"], twin["at"]) == ("t", "", 0)


@pytest.mark.parametrize("text", ["soon", "9" * 20, "²", "-1", None])
def test_what_is_no_time_is_none(text: str | None) -> None:
    reported = {"value": "1", "metadata": {"timestamp": text}}
    status = {"status": {"twins": [{"propertyName": "t", "reported": reported}]}}
    assert rows.device_row({"metadata": {"name": "d"}}, status, None)["twins"][0]["at"] == 0
    assert rows.milliseconds(text) == 0


def test_a_trimmed_object_makes_the_same_row_and_holds_no_secret() -> None:
    obj = pod(
        "Running",
        {"running": {}},
        uid="u",
        resourceVersion="7",
        managedFields=[{}],
        annotations={"a": "s3cret"},
    )
    obj["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": "s3cret"}]
    cut = trimming.POD(obj)
    assert rows.pod_row(cut) == rows.pod_row(obj)
    assert cut["metadata"] == {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7"}
    assert "s3cret" not in str(cut)


def test_lists_keep_their_order_when_several_of_their_fields_are_kept() -> None:
    obj = {
        "metadata": {"name": "m"},
        "spec": {"properties": [{"name": "a", "unit": "x", "no": 1}, {"unit": "y"}]},
    }
    assert trimming.MODEL(obj)["spec"] == {"properties": [{"name": "a", "unit": "x"}, {"unit": "y"}]}
