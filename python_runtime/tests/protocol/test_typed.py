"""Typed contents against everything that was recorded between the original's CloudCore and EdgeCore.

Covers reading and writing by kind, what does not fit, and the command that checks recordings.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgelab.protocol import message as wire
from edgelab.protocol import typed
from edgelab.protocol.content import applications, devices, jobs, objects
from edgelab.protocol.content.catalogue import DOWN, UNKNOWN, UP
from edgelab.protocol.content.codecs import Content

RECORDINGS = sorted((Path(__file__).parent / "vectors" / "wire").glob("*.jsonl"))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read(direction: str, content: Any, *, parent: str = "", **route: str) -> typed.TypedMessage:
    empty = {"source": "", "group": "", "operation": "", "resource": ""}
    return typed.read(wire.new(content=content, parent_id=parent, **{**empty, **route}), direction)


def command(*files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgelab.protocol", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_recorded_messages_are_known_and_survive(path: Path) -> None:
    for record in records(path):
        found = typed.read(wire.decode(json.dumps(record["msg"])), record["dir_"])
        assert json.loads(wire.encode(found.message())) == record["msg"]
        if record["msg"]["route"]:  # one empty message was recorded
            assert found.kind.name != UNKNOWN, record["msg"]["route"]


def test_the_command_counts_the_messages_of_recordings(tmp_path: Path) -> None:
    done = command(*RECORDINGS)
    total = sum(len(records(path)) for path in RECORDINGS)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{total} read, 0 differ\n", "")
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert (command(empty).returncode, command(empty).stdout) == (0, "0 read, 0 differ\n")


def test_the_command_names_what_differs(tmp_path: Path) -> None:
    recorded = {"kind": "msg", "dir_": UP, "msg": {"header": {"msg_id": "a", "timestamp": 1, "strange": 1}}}
    other = {"kind": "tunnel_frame"}
    path = tmp_path / "one.jsonl"
    path.write_text(f"{json.dumps(other)}\n\n{json.dumps(recorded)}\n")
    done = command(path)
    assert (done.returncode, done.stdout) == (1, "1 read, 1 differ\n")
    assert f"{path}:3: unknown: " in done.stderr
    recorded["dir_"] = "sideways"
    path.write_text(json.dumps(recorded))
    assert "dir_ is 'sideways'" in command(path).stderr


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff\n"])
def test_the_command_refuses_what_is_no_recording(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "none.jsonl"
    path.write_bytes(text)
    done = command(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{path}:")


def test_fields_of_later_releases_are_kept() -> None:
    content = {"event_id": "e", "timestamp": 1, "added_devices": None, "later": {"a": [1]}}
    found = read(DOWN, content, group="twin", operation="update", resource="membership")
    assert isinstance(found.content.value, devices.MembershipUpdate)
    assert msgspec.json.decode(found.content.raw()) == content


def test_numbers_of_objects_keep_their_text() -> None:
    content = msgspec.Raw(b'{"kind":"Pod","n":12345678901234567890,"f":1.10}')
    found = read(DOWN, content, group="resource", operation="insert", resource="default/pod/p")
    assert bytes(found.content.raw()) == bytes(content)


def test_text_within_a_content_keeps_its_escapes() -> None:
    text = '{"event_id":"","timestamp":1,"device":{"name":"a\\u003cb","state":"online"}}'
    found = read(UP, text, source="twin", operation="update", resource="device/d/a/state/update")
    assert found.content.value.value().device.name == "a<b"
    assert msgspec.json.decode(found.content.raw()) == text


@pytest.mark.parametrize(
    ("direction", "route", "content", "what"),
    [
        (UP, {"operation": "keepalive", "resource": "node"}, 1, "keepalive for 'node': Expected `str`"),
        (UP, {"source": "twin", "resource": "device/a/b/twin/edge_updated"}, {}, "field `event_id`"),
        (
            UP,
            {"source": "twin", "resource": "device/a/b/state/update"},
            "{",
            "the text within the content: Input data was truncated",
        ),
        (UP, {"group": "meta", "operation": "insert", "resource": "null/node/n"}, [], "a Kubernetes object"),
        (
            DOWN,
            {"group": "resource", "operation": "response", "resource": "null/nodepatch/n"},
            {"Object": None, "Err": 3},
            r"Expected `object \| null`, got `int` - at `\$.Err`",
        ),
        (
            DOWN,
            {"source": "taskmanager", "resource": "operations.kubeedge.io/v1alpha2/configupdatejob/j/node/n"},
            {"concurrency": "2"},
            r"configupdatejob for .*: Expected `int`, got `str` - at `\$.concurrency`",
        ),
    ],
)
def test_what_does_not_fit_is_named(direction: str, route: dict[str, str], content: Any, what: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=what):
        read(direction, content, **route)


def test_answers_come_in_three_forms() -> None:
    route = {"group": "resource", "operation": "response", "resource": "default/pod/p"}
    whole = read(DOWN, {"Object": {"metadata": {}}, "Err": None}, parent="q", **route).content.value
    assert isinstance(whole, objects.ObjectResponse)
    assert whole.error is None
    failed = read(DOWN, {"Object": None, "Err": {"ErrStatus": {"code": 409}}}, parent="q", **route)
    assert msgspec.json.decode(failed.content.value.error.status) == {"code": 409}
    lost = read(DOWN, {"Object": None, "Err": {}}, parent="q", **route).content.value
    assert lost.error.status is msgspec.UNSET
    assert read(DOWN, "OK", parent="q", **route).content.value == "OK"
    gone = read(DOWN, {"ErrStatus": {"code": 404}}, parent="q", **route).content.value
    assert isinstance(gone, objects.ErrorBody)


def test_messages_of_earlier_releases_are_known() -> None:
    meta = {"source": "edged", "group": "meta"}
    one = {"UID": "u", "Name": "p", "Status": {"phase": "Running"}}
    found = read(UP, one, operation="update", resource="default/podstatus/p", **meta)
    assert found.content.value.name == "p"
    several = read(UP, [one, one], operation="update", resource="default/podstatus", **meta)
    assert [status.uid for status in several.content.value] == ["u", "u"]
    legacy = {"UID": "u", "Status": {}, "ExtendResources": None}
    node = read(UP, legacy, operation="insert", resource="default/nodestatus/n", **meta)
    assert msgspec.json.decode(node.content.raw()) == legacy
    uid = read(UP, "u", operation="delete", resource="default/pod/p", **meta)
    assert uid.content.value == "u"
    task = {"TaskID": "t", "Type": "upgrade", "State": "Init", "Item": {"Version": "v1"}}
    down = read(DOWN, task, source="taskmanager", operation="upgrade", resource="upgrade/t/node/n")
    assert isinstance(down.content.value, jobs.NodeTask)
    assert msgspec.json.decode(down.content.raw()) == task
    bare = {"UpgradeID": "u", "HistoryID": "h", "Version": "v1", "UpgradeTool": "keadm", "Image": "i"}
    before = read(DOWN, bare, source="nodeupgradejobcontroller", operation="upgrade")
    assert before.content.value.upgrade_id == "u"
    assert msgspec.json.decode(before.content.raw()) == bare


def test_an_application_is_named_by_what_it_asks() -> None:
    requests = [
        typed.read(wire.decode(json.dumps(record["msg"])), UP)
        for path in RECORDINGS
        for record in records(path)
        if record["msg"]["route"].get("source") == "metaserver"
        and record["msg"]["route"]["resource"] == "null"
    ]
    assert len(requests) > 50
    for request in requests:
        application = request.content.value
        assert application.digest() == application.id
    with pytest.raises(ValueError, match="padding"):
        applications.content_of("=")


def test_a_content_can_be_made() -> None:
    state = devices.StateReport("", 1, devices.DeviceState("d", "online"))
    made = devices.STATE_TEXT.of(state)
    assert (
        msgspec.json.decode(made.raw())
        == '{"event_id":"","timestamp":1,"device":{"name":"d","state":"online"}}'
    )
    status = Content(jobs.ActionStatus("Pull", True), jobs.ACTION_STATUS)
    assert msgspec.json.decode(status.raw()) == {"action": "Pull", "succ": True}
