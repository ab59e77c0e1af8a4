"""Jobs on the edge node of the lab: images, settings, a version. EdgeCore is restarted, pods are not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.lab import CONFIGS, Lab, eventually

VENVS = "/opt/edgelab/venvs"
EDGE = CONFIGS["edgecore"]
NEXT = "9.9.9"


@pytest.fixture(scope="module")
def jobs(lab: Lab) -> Iterator[Lab]:
    """The lab with task managers; afterwards everything is as it was."""
    enable = {"modules": {"taskManager": {"enable": True}}}
    with lab.configured(cloudcore=enable, edgecore=enable):
        yield lab


def run(lab: Lab, kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """A job's status when it is over."""
    job = {
        "apiVersion": "operations.kubeedge.io/v1alpha2",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    eventually(lambda: lab.node_ready("edge1"), "a ready edge1", 60)
    lab.kubectl("create", "-f", "-", stdin=json.dumps(job))

    def over() -> dict[str, Any]:
        status: dict[str, Any] = lab.get(kind, name).get("status") or {}
        return status if status.get("phase") in ("Completed", "Failure") else {}

    return eventually(over, f"the end of {name}", 150)


def actions(status: dict[str, Any]) -> list[tuple[str, str]]:
    """What edge1 did."""
    [node] = status["nodeStatus"]
    return [(one["action"], one["status"]) for one in node["actionFlow"]]


def container(lab: Lab) -> tuple[str, int]:
    """The nginx container and its restarts."""
    [pod] = lab.get("pods", "-l", "app=nginx")["items"]
    [state] = pod["status"]["containerStatuses"]
    return state["containerID"], state["restartCount"]


def test_an_image_that_is_there_and_one_that_cannot_be_had_are_told_apart(jobs: Lab) -> None:
    [pod] = jobs.get("pods", "-l", "app=nginx")["items"]
    image = pod["spec"]["containers"][0]["image"]
    template = {"images": [image, "127.0.0.1:1/none:x"], "nodeNames": ["edge1"]}
    status = run(jobs, "ImagePrePullJob", "images", imagePrePullTemplate=template)
    assert status["phase"] == "Failure"
    there, missing = status["nodeStatus"][0]["imageStatus"]
    assert (there["image"], there["status"]) == (image, "True")
    assert missing["status"] == "False"
    assert "127.0.0.1:1" in missing["reason"]


def test_a_setting_is_changed_and_pods_run_on(jobs: Lab) -> None:
    before = container(jobs)
    status = run(
        jobs, "ConfigUpdateJob", "beat", nodeNames=["edge1"], updateFields={"modules.edgeHub.heartbeat": "11"}
    )
    assert (status["phase"], actions(status)) == (
        "Completed",
        [("Check", "True"), ("BackUp", "True"), ("Update", "True")],
    )
    assert "heartbeat: 11" in jobs.host("edge1", "cat", EDGE)
    assert container(jobs) == before


def test_a_setting_that_edgecore_does_not_take_is_taken_back_with_the_reason(jobs: Lab) -> None:
    before = jobs.host("edge1", "cat", EDGE)
    fields = {"modules.edgeHub.heartbeat": "soon"}
    status = run(jobs, "ConfigUpdateJob", "soon", nodeNames=["edge1"], updateFields=fields)
    assert status["phase"] == "Failure"
    assert actions(status)[-2:] == [("Update", "False"), ("RollBack", "True")]
    assert "modules.edgeHub.heartbeat" in status["nodeStatus"][0]["reason"]
    assert jobs.host("edge1", "cat", EDGE) == before


def test_a_version_that_is_not_there_is_refused_and_one_that_is_becomes_current(jobs: Lab) -> None:
    status = run(jobs, "NodeUpgradeJob", "nowhere", nodeNames=["edge1"], version="v8.8.8")
    assert (status["phase"], actions(status)) == ("Failure", [("Check", "False")])
    assert "there is no version 8.8.8" in status["nodeStatus"][0]["reason"]
    old = jobs.host("edge1", "readlink", "/opt/edgelab/current").strip().rpartition("/")[2]
    before = container(jobs)
    copy = (
        f"cp -a {VENVS}/{old} {VENVS}/{NEXT} && sed -i s#{VENVS}/{old}/#{VENVS}/{NEXT}/# {VENVS}/{NEXT}/bin/*"
    )
    jobs.host("edge1", "sh", "-c", copy)
    try:
        status = run(jobs, "NodeUpgradeJob", "next", nodeNames=["edge1"], version=f"v{NEXT}")
        [node] = status["nodeStatus"]
        assert (status["phase"], node.get("reason")) == ("Completed", None), status
        assert (node["historicVersion"], node["currentVersion"]) == (old, NEXT)
        assert jobs.host("edge1", "readlink", "/opt/edgelab/current").strip().endswith(NEXT)
        assert jobs.host("edge1", "systemctl", "is-active", "edgecore").strip() == "active"
        assert container(jobs) == before
    finally:
        jobs.host("edge1", f"{VENVS}/{old}/bin/keadm", "upgrade", "edge", "--toVersion", old, "--force")
        jobs.host("edge1", "rm", "-rf", f"{VENVS}/{NEXT}")
