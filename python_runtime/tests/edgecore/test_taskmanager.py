"""The node's TaskManager: jobs are carried out, reported in order, and survive a restart in their middle."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cloudcore.stage import messages

from edgelab.daemon.clock import SYSTEM
from edgelab.edgecore.interfaces import Offline, PullFailed
from edgelab.edgecore.metamanager.metaserver.http import Request
from edgelab.edgecore.metamanager.metaserver.local import CONFIRM, LocalPosts
from edgelab.edgecore.store import META_TABLES, Store
from edgelab.edgecore.taskmanager import checks, commands, runner
from edgelab.edgecore.taskmanager.actions import Actions
from edgelab.edgecore.taskmanager.checks import CheckFailed
from edgelab.edgecore.taskmanager.commands import CommandFailed, Commands
from edgelab.edgecore.taskmanager.module import MOST_WAITING, TaskManager
from edgelab.edgecore.taskmanager.record import Records
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

IMAGE = "127.0.0.1:1/none:x"
KEADM = """#!{python}
import json, sys, time
from pathlib import Path
here = Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
answers = json.loads((here / "answers").read_text()) if (here / "answers").exists() else {{}}
answer = answers.get(sys.argv[1], {{}})
while (here / f"hold-{{sys.argv[1]}}").exists():
    time.sleep(0.01)
(here / "version").write_text(answer.get("version") or (here / "version").read_text())
print(json.dumps(answer.get("says", {{}})))
sys.exit(answer.get("status", 0))
"""


class Hub:
    """A connection that can be away."""

    def __init__(self) -> None:
        self.connected = True
        self.sent: list[Message] = []
        self._listeners: list[Callable[[bool], None]] = []

    async def send(self, message: Message) -> None:
        if not self.connected:
            raise Offline("away")
        self.sent.append(message)

    async def request(self, message: Message, deadline: float) -> Message:
        raise Offline("not asked for")

    def on_connection(self, listener: Callable[[bool], None]) -> None:
        self._listeners.append(listener)

    def turn(self, connected: bool) -> None:
        self.connected = connected
        for listener in self._listeners:
            listener(connected)

    def reports(self) -> list[tuple[str, bool]]:
        return [(m.object()["action"], m.object()["succ"]) for m in self.sent]


class Images:
    """edged's part: some images cannot be had, or not at first."""

    def __init__(self, **failures: int) -> None:
        self.asked: list[tuple[str, str]] = []
        self._failures = failures

    async def pull_image(self, image: str, secret: str) -> None:
        self.asked.append((image, secret))
        if image == IMAGE and self._failures.get("times", 1000) > len(self.asked) - 1:
            raise PullFailed("connection refused")


class Node:
    """A node's files and hub; `running` is EdgeCore for as long as the block lasts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hub = Hub()
        self.images = Images()
        self.keadm = directory / "keadm"
        self.keadm.write_text(KEADM.format(python=sys.executable))
        self.keadm.chmod(0o755)
        (directory / "version").write_text("1.21.0")

    def answer(self, **answers: Any) -> None:
        (self.directory / "answers").write_text(json.dumps(answers))

    def calls(self) -> list[list[str]]:
        path = self.directory / "calls"
        return [json.loads(line)[:-4] for line in path.read_text().splitlines()] if path.exists() else []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[TaskManager]:
        async with Store(self.directory / "edgecore.db", META_TABLES) as store:
            self.hub._listeners.clear()
            records = Records(store)
            beside = Commands(self.directory, self.directory / "edgecore.yaml", SYSTEM, keadm=self.keadm)
            beside._systemd = False
            actions = Actions(beside, records, SYSTEM, version=(self.directory / "version").read_text)
            actions.puller = self.images
            tasks = TaskManager(records, actions, self.hub, SYSTEM, "edge1")
            work = asyncio.create_task(tasks.run())
            try:
                yield tasks
            finally:
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
                assert not work.done() or work.cancelled() or work.exception() is None


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(commands, "POLL_SECONDS", 0.02)
    monkeypatch.setattr("edgelab.edgecore.taskmanager.actions.RETRY_SECONDS", (0.01, 0.02))
    return Node(tmp_path)


def job(kind: str, spec: Any, name: str = "one", node: str = "edge1", action: str = "Check") -> Message:
    return wire.new(
        source="taskmanager",
        group="taskmanager",
        operation=action,
        resource=f"operations.kubeedge.io/v1alpha2/{kind}/{name}/node/{node}",
        content=spec,
    )


def upgrade(**spec: Any) -> Message:
    return job("nodeupgradejob", {"version": "v1.22.0", **spec})


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not check():
            await asyncio.sleep(0.01)


async def test_the_recorded_image_jobs_get_the_recorded_reports(node: Node) -> None:
    recorded = [message for _, message in messages("36-imageprepulljob")]
    async with node.running() as tasks:
        for message in recorded:
            if message.route.operation == "Check":
                checked = message.object()
                checked["imagePrePullTemplate"]["checkItems"] = []  # this machine may be busy
                message.content = wire.raw(checked)
                await tasks.receive(message)
        wanted = [message for message in recorded if message.route.operation != "Check"]
        await until(lambda: len(node.hub.sent) == len(wanted))
    for got, expected in zip(node.hub.sent, wanted, strict=True):
        assert got.route == expected.route
        ours, theirs = got.object(), expected.object()
        for one in (ours, theirs):
            one.pop("finishTime")
            one["extend"] = [
                {k: v for k, v in e.items() if k != "reason"} for e in json.loads(one["extend"] or "[]")
            ]
        assert ours == theirs


async def test_a_pull_is_tried_again_as_often_as_the_job_says_with_its_secret(node: Node) -> None:
    node.images = Images(times=2)
    template = {"images": [IMAGE], "retryTimes": 2, "imageSecrets": "default/regcred"}
    async with node.running() as tasks:
        await tasks.receive(job("imageprepulljob", {"imagePrePullTemplate": template}))
        await until(lambda: len(node.hub.sent) == 2)
    assert node.hub.reports() == [("Check", True), ("Pull", True)]
    assert node.images.asked == [(IMAGE, "default/regcred")] * 3


async def test_an_upgrade_is_checked_backed_up_and_done_by_keadm(node: Node) -> None:
    node.answer(upgrade={"version": "1.22.0"})
    async with node.running() as tasks:
        await tasks.receive(upgrade())
        await until(lambda: len(node.hub.sent) == 4 and not tasks._jobs)
    assert node.hub.reports() == [
        ("Check", True),
        ("WaitingConfirmation", True),
        ("BackUp", True),
        ("Upgrade", True),
    ]
    # The fake one is at 1.22.0 from its dry run on, as it does the same at each call.
    assert node.hub.sent[-1].object()["extend"] == "1.21.0,1.22.0"
    assert node.calls() == [
        ["upgrade", "edge", "--toVersion", "1.22.0", "--dry-run"],
        ["backup", "edge"],
        ["upgrade", "edge", "--force", "--toVersion", "1.22.0"],
    ]
    async with Store(node.directory / "edgecore.db", META_TABLES) as store:
        assert Records(store).all() == []


async def test_what_keadm_says_is_the_reason_and_nothing_is_left_to_roll_back(node: Node) -> None:
    says = {"error": "1.22.0 does not work and edgecore is 1.21.0 again", "rolled_back": True}
    node.answer(**{"config-update": {"status": 1, "says": says}})
    async with node.running() as tasks:
        fields = {"modules.edgeHub.heartbeat": "0", "modules.edged.reportEvent": "true"}
        await tasks.receive(job("configupdatejob", {"updateFields": fields}))
        await until(lambda: len(node.hub.sent) == 4)
    assert node.hub.reports() == [("Check", True), ("BackUp", True), ("Update", False), ("RollBack", True)]
    assert node.hub.sent[2].object()["reason"] == says["error"]
    assert node.calls()[-1] == [
        "config-update",
        *("--set", "modules.edgeHub.heartbeat=0"),
        *("--set", "modules.edged.reportEvent=true"),
    ]


async def test_a_job_goes_on_in_the_next_edgecore_and_its_command_is_not_started_twice(node: Node) -> None:
    (node.directory / "hold-config-update").touch()
    async with node.running() as tasks:
        await tasks.receive(job("configupdatejob", {"updateFields": {"a": "b"}}))
        await until(lambda: ["config-update", "--set", "a=b"] in node.calls())
    async with node.running():
        (node.directory / "hold-config-update").unlink()
        await until(lambda: ("Update", True) in node.hub.reports())
    assert sum(call[0] == "config-update" for call in node.calls()) == 1
    assert node.hub.reports() == [("Check", True), ("BackUp", True), ("Update", True)]


async def test_a_machine_that_went_down_in_an_upgrade_is_rolled_back(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "START_SECONDS", 0.2)
    (node.directory / "hold-upgrade").touch()
    async with Store(node.directory / "edgecore.db", META_TABLES) as store:
        record = {
            "resource": upgrade().route.resource,
            "spec": {"version": "1.22.0"},
            "action": "Upgrade",
            "started": True,
            "before": "1.20.0",
        }
        row = (record["resource"], "nodejob", json.dumps(record))
        await store.submit([("INSERT INTO meta (key, type, value) VALUES (?, ?, ?)", row)])
    node.answer(rollback={"version": "1.20.0"})
    async with node.running():
        await until(lambda: len(node.hub.sent) == 2)
    assert node.hub.reports() == [("Upgrade", False), ("RollBack", True)]
    assert "did the machine go down?" in node.hub.sent[0].object()["reason"]
    assert node.calls() == [["rollback", "edge", "--historical-version", "1.20.0"]]
    assert node.hub.sent[1].object()["extend"] == "1.20.0,1.20.0"


async def test_an_upgrade_waits_for_somebody_who_confirms_also_over_a_restart(node: Node) -> None:
    async with node.running() as tasks:
        await tasks.receive(upgrade(requireConfirmation=True))
        await until(lambda: len(node.hub.sent) == 2)
        assert node.hub.reports()[-1] == ("WaitingConfirmation", True)
    async with node.running() as tasks:
        posts = LocalPosts()
        posts.jobs = tasks
        confirm = Request("POST", CONFIRM, {}, [], {})
        answer = await posts.serve(confirm)
        assert answer is not None
        assert answer.status == 200
        await until(lambda: node.hub.reports()[-1] == ("Upgrade", True))
        again = await posts.serve(confirm)
        assert again is not None
        assert (again.status, again.body) == (400, b"there are no valid upgrade tasks to execute\n")


async def test_reports_wait_for_the_cloud_and_arrive_in_order(node: Node) -> None:
    node.hub.turn(False)
    async with node.running() as tasks:
        await tasks.receive(job("configupdatejob", {"updateFields": {"a": "b"}}))
        await until(lambda: len(node.calls()) == 2)
    async with node.running():
        await asyncio.sleep(0)
        assert node.hub.sent == []
        node.hub.turn(True)
        await until(lambda: len(node.hub.sent) == 3)
    assert node.hub.reports() == [("Check", True), ("BackUp", True), ("Update", True)]


async def test_a_job_for_another_node_or_of_no_kind_is_not_begun_and_a_known_one_not_twice(
    node: Node,
) -> None:
    (node.directory / "hold-backup").touch()
    async with node.running() as tasks:
        await tasks.receive(job("configupdatejob", {"updateFields": {}}, node="edge2"))
        await tasks.receive(job("podjob", {}))
        await tasks.receive(job("imageprepulljob", {}, action="BackUp"))
        for _ in range(2):
            await tasks.receive(job("configupdatejob", {"updateFields": {"a": "b"}}))
        for number in range(MOST_WAITING):
            await tasks.receive(job("configupdatejob", {"updateFields": {}}, name=f"job{number}"))
        await until(lambda: len(node.hub.sent) == 2)
        told = {m.route.resource.split("/")[3]: m.object() for m in node.hub.sent}
        assert told[f"job{MOST_WAITING - 1}"]["reason"] == f"{MOST_WAITING} jobs are here already"
        (node.directory / "hold-backup").unlink()
        await until(lambda: len(node.hub.sent) == 1 + 3 * MOST_WAITING)


async def test_what_is_no_spec_fails_and_says_so(node: Node) -> None:
    async with node.running() as tasks:
        await tasks.receive(job("imageprepulljob", "nonsense"))
        await until(lambda: len(node.hub.sent) == 1)
    assert node.hub.sent[0].object()["reason"] == "images: between 1 and 64 are pulled by one job"


async def test_a_node_without_room_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 150 kB\n")
    with pytest.raises(CheckFailed, match=r"current mem usage is 85.00, which exceeds .* 80.00"):
        await checks.check(["mem"], SYSTEM, processes=tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 500 kB\n")
    await checks.check(["mem"], SYSTEM, processes=tmp_path)
    (tmp_path / "stat").write_text("cpu  1 0 1 8 0 0 0 0 0 0\n")
    await checks.check(["cpu"], SYSTEM, processes=tmp_path)
    with pytest.raises(CheckFailed, match="check item gpu not support"):
        await checks.check(["gpu"], SYSTEM)


def test_the_runner_leaves_how_a_program_ended(tmp_path: Path) -> None:
    result = tmp_path / "result"
    assert runner.main(str(result), "/bin/sh", "-c", "echo out; echo err >&2; exit 3") == 3
    assert json.loads(result.read_text()) == {"status": 3, "output": "out\n", "errors": "err\n"}
    assert result.stat().st_mode & 0o777 == 0o600
    assert runner.main(str(result), str(tmp_path / "none")) == 127
    assert "No such file" in json.loads(result.read_text())["errors"]
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


async def test_a_program_that_cannot_be_started_is_a_reason(tmp_path: Path) -> None:
    beside = Commands(tmp_path, tmp_path / "edgecore.yaml", SYSTEM, keadm=tmp_path / "none")
    beside._systemd = False
    with pytest.raises(CommandFailed, match="No such file"):
        await beside.run("backup", "edge")


async def test_what_is_started_is_no_child_of_ours_and_ties_nothing_to_the_loop(
    node: Node, recwarn: pytest.WarningsRecorder
) -> None:
    (node.directory / "hold-backup").touch()
    beside = Commands(node.directory, node.directory / "edgecore.yaml", SYSTEM, keadm=node.keadm)
    beside._systemd = False
    await beside.start("backup", "edge")
    await until(node.calls)
    process = json.loads((node.directory / "nodejob-result.json.runs").read_text())["process"]
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[1]) != os.getpid()
    assert int(fields[3]) not in (os.getsid(0), process), "a session of its own, which it does not lead"
    assert [Path(f"/proc/{process}/fd/{number}").readlink() for number in range(3)] == [Path(os.devnull)] * 3
    (node.directory / "hold-backup").unlink()
    assert await beside.finish() == "{}\n"
    gc.collect()
    assert [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)] == []
