"""EdgeSite against a dict: what was acknowledged is what is listed, watched and there after a restart."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from tests.edgesite.apiserver.running import Client, running

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"type": "application/merge-patch+json"}
APPLY = {"type": "application/apply-patch+yaml"}
FEW = settings(
    max_examples=5,
    stateful_step_count=25,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
NAMES, TEXTS = st.sampled_from("abc"), st.sampled_from(["", "x", "é\u2028😀", "y" * 5000])
DRY = st.sampled_from(["", "", "dryRun=All"])
Answer = tuple[int, Any]


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory(prefix="edgesite-")
        self.known: dict[str, Any] = {}
        self.newest = 0
        self._start()
        self.begin = self.call("GET", MAPS)[1]["metadata"]["resourceVersion"]

    def _start(self) -> None:
        self.context = running(Path(self.directory.name))
        self.client: Client = self.runner.run(self.context.__aenter__())

    def call(self, *arguments: Any, **options: Any) -> Answer:
        return self.runner.run(self.client.call(*arguments, **options))

    def wrote(self, name: str, answer: Answer, dry: str) -> None:
        """Remember what was acknowledged."""
        status, found = answer
        if status >= 400 or dry:
            return
        if found["kind"] == "Status":
            del self.known[name]
            return
        version = int(found["metadata"]["resourceVersion"])
        before = self.known.get(name, {}).get("metadata", {}).get("resourceVersion")
        assert version > self.newest or str(version) == before
        self.newest = max(self.newest, version)
        gone = found["metadata"].get("deletionTimestamp") and not found["metadata"].get("finalizers")
        if gone:
            del self.known[name]
        else:
            self.known[name] = found

    @rule(name=NAMES, text=TEXTS, dry=DRY, held=st.booleans())
    def create(self, name: str, text: str, dry: str, held: bool) -> None:
        metadata = {"name": name, "finalizers": ["lab.example.com/held"]} if held else {"name": name}
        answer = self.call("POST", f"{MAPS}?{dry}", {"metadata": metadata, "data": {"t": text}})
        assert answer[0] == (409 if name in self.known else 201)
        self.wrote(name, answer, dry)

    @rule(name=NAMES, text=TEXTS, dry=DRY, stale=st.booleans())
    def replace(self, name: str, text: str, dry: str, stale: bool) -> None:
        body = {**self.known.get(name, {"metadata": {"name": name}}), "data": {"r": text}}
        if stale:
            body["metadata"] = {**body["metadata"], "resourceVersion": "1"}
        answer = self.call("PUT", f"{MAPS}/{name}?{dry}", body)
        assert answer[0] == (404 if name not in self.known else 409 if stale else 200)
        self.wrote(name, answer, dry)

    @rule(name=NAMES, text=TEXTS, dry=DRY)
    def patch(self, name: str, text: str, dry: str) -> None:
        answer = self.call("PATCH", f"{MAPS}/{name}?{dry}", {"data": {"p": text, "t": None}}, **MERGE)
        assert answer[0] == (200 if name in self.known else 404)
        self.wrote(name, answer, dry)

    @rule(name=NAMES, text=TEXTS, dry=DRY)
    def apply(self, name: str, text: str, dry: str) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": text}}
        answer = self.call("PATCH", f"{MAPS}/{name}?fieldManager=m&force=1&{dry}", body, **APPLY)
        assert answer[0] == (200 if name in self.known else 201)
        self.wrote(name, answer, dry)

    @rule(name=NAMES, dry=DRY)
    def delete(self, name: str, dry: str) -> None:
        answer = self.call("DELETE", f"{MAPS}/{name}?{dry}")
        assert answer[0] == (200 if name in self.known else 404)
        self.wrote(name, answer, dry)

    @rule(name=NAMES)
    def release(self, name: str) -> None:
        self.wrote(
            name, self.call("PATCH", f"{MAPS}/{name}", {"metadata": {"finalizers": None}}, **MERGE), ""
        )

    @rule()
    def restart(self) -> None:
        self.runner.run(self.context.__aexit__(None, None, None))
        self._start()
        self.compare()

    @rule()
    def compare(self) -> None:
        _, listed = self.call("GET", MAPS)
        found = {item["metadata"]["name"]: item for item in listed["items"]}
        found.pop("kube-root-ca.crt", None)
        bare = {
            name: {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
            for name, obj in self.known.items()
        }
        assert found == bare

    def teardown(self) -> None:
        try:
            self.compare()
            assert self.runner.run(self.replayed()) == self.known
        finally:
            self.runner.run(self.context.__aexit__(None, None, None))
            self.runner.close()
            self.directory.cleanup()

    async def replayed(self) -> dict[str, Any]:
        """What a watch from the beginning comes to."""
        query = f"?watch=1&timeoutSeconds=1&resourceVersion={self.begin}"
        found: dict[str, Any] = {}
        async with self.client.admin.get(self.client.base + MAPS + query) as response:
            async for line in response.content:
                event = json.loads(line)
                name = event["object"]["metadata"]["name"]
                if event["type"] == "DELETED":
                    found.pop(name)
                else:
                    found[name] = event["object"]
        found.pop("kube-root-ca.crt", None)
        return found


def test_what_was_acknowledged_is_what_is_there() -> None:
    run_state_machine_as_test(Model, settings=FEW)
