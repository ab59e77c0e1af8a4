"""Replays scenarios against a site and compares with the answers that a kube-apiserver gave to them.

Steps and answers lie in `../vectors`. `KNOWN_DIFFERENCES` is exact: an answer that begins to agree, or
another one that ceases to, fails the test.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from tests.edgesite.apiserver.running import Client

VECTORS = Path(__file__).parents[1] / "vectors"
SCENARIOS = sorted(path.name.removesuffix(".steps.json") for path in VECTORS.glob("*.steps.json"))
RUN = "-replay"
VOLATILE = {
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "selfLink",
    "deletionTimestamp",
    "lastTransitionTime",
    "lastHeartbeatTime",
    "lastUpdateTime",
    "lastProbeTime",
    "time",
    "continue",
    "expirationTimestamp",
    "token",
    "clusterIP",
    "clusterIPs",
    "remainingItemCount",
    "firstTimestamp",
    "lastTimestamp",
    "eventTime",
    "startTime",
    "renewTime",
    "acquireTime",
    "podIP",
    "generation_",
    "observedGeneration_",
    "nodePort",
    "healthCheckNodePort",
    "certificate",
}
# The recording caught the moment between the acceptance of the names and the definition being
# established, which kube-apiserver's controllers do in two steps and EdgeSite in one.
KNOWN_DIFFERENCES = {"crd/crd-established": {"body.status.conditions.1.status": ("False", "True")}}


def dig(node: Any, path: str) -> Any:
    for part in filter(None, path.split(".")):
        if isinstance(node, list):
            node = node[int(part)] if part.isdecimal() and int(part) < len(node) else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return node


def normal(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _normal_field(key, node[key]) for key in sorted(node) if key != "managedFields"}
    if isinstance(node, list):
        return [normal(item) for item in node]
    if isinstance(node, str):
        text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>", node.replace(RUN, ""))
        return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>", text)
    return node


def _normal_field(key: str, value: Any) -> Any:
    if (key in VOLATILE and not isinstance(value, dict | list)) or key == "clusterIPs":
        return f"<{key}>" if value not in (None, "") else value
    return normal(value)


def picked(body: Any, only: list[str] | None) -> Any:
    if only is None:
        return body
    return {path: normal(dig(body, path)) if body is not None else None for path in only}


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(node, dict) and node:
        pairs = ((f"{prefix}.{key}" if prefix else key, value) for key, value in node.items())
    elif isinstance(node, list) and node:
        pairs = ((f"{prefix}[{i}]", value) for i, value in enumerate(node))
    else:
        return {prefix: node}
    return {path: value for name, inner in pairs for path, value in flat(inner, name).items()}


class Replay:
    def __init__(self, client: Client, scenario: str) -> None:
        self.client = client
        self.scenario = scenario
        self.variables = {"run": RUN}
        self.answers: dict[str, Any] = {}
        self.watches: list[tuple[str, asyncio.Task[Any], Any]] = []

    def filled(self, value: Any) -> Any:
        text = re.sub(
            r"\{\{(\w+)\}\}", lambda match: str(self.variables.get(match[1], "?")), json.dumps(value)
        )
        return json.loads(text)

    async def run(self) -> dict[str, Any]:
        for step in json.loads((VECTORS / f"{self.scenario}.steps.json").read_text()):
            if "watch" in step:
                path, seconds = self.filled(step["watch"])["path"], step["watch"]["seconds"]
                task = asyncio.create_task(self._watch(path, seconds))
                self.watches.append((step["name"], task, step.get("only")))
                await asyncio.sleep(0.2)
            elif "join" in step:
                await self._join()
            else:
                await self._step(step)
        return self.answers

    async def _join(self) -> None:
        for name, task, only in self.watches:
            lines = [
                {"type": line["type"], "object": picked(normal(line["object"]), only)}
                if "type" in line
                else line
                for line in await task
            ]
            self.answers[f"{self.scenario}/{name}"] = {"watch": lines}
        self.watches = []

    async def _watch(self, path: str, seconds: float) -> list[Any]:
        found: list[Any] = []
        async with self.client.admin.get(self.client.base + path) as response:
            found.append({"status": response.status})
            async for line in response.content:
                found.append(json.loads(line))
        return found

    def _identity(self, step: dict[str, Any]) -> dict[str, Any]:
        """Who asks: the administrator, a bearer (`token`), nobody (`anon`); headers can name others."""
        found: dict[str, Any] = {"headers": self.filled(step.get("send", {}))}
        if "token" in step:
            found["token"] = str(self.variables.get(step["token"], step["token"]))
        elif step.get("anon"):
            found["token"] = ""
        return found

    async def _step(self, step: dict[str, Any]) -> None:
        method, path = self.filled(step["do"]).split(" ", 1)
        deadline = time.monotonic() + step.get("wait", 0)
        while True:
            options = {key: step[key] for key in ("type", "accept") if key in step}
            options |= self._identity(step)
            status, body = await self.client.call(method, path, self.filled(step.get("body")), **options)
            wanted = [part.strip() for part in step.get("until", " == None").split("==")]
            if isinstance(body, str) and status == 404:
                break
            if "until" not in step or str(dig(body, wanted[0])) == wanted[1] or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
        for name, where in step.get("keep", {}).items():
            self.variables[name] = dig(body, where)
        if not step.get("silent"):
            kind = "text/plain" if isinstance(body, str) else "application/json"
            answer = {"status": status, "type": kind, "body": picked(normal(body), step.get("only"))}
            self.answers[f"{self.scenario}/{step['name']}"] = answer


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_answers_are_those_of_a_kube_apiserver(client: Client, scenario: str) -> None:
    got = await Replay(client, scenario).run()
    differences = {}
    for name, expected in json.loads((VECTORS / f"{scenario}.json").read_text()).items():
        wanted, found = flat(expected), flat(got.get(name))
        different = {
            path: (wanted.get(path, "<absent>"), found.get(path, "<absent>"))
            for path in sorted({*wanted, *found})
            if wanted.get(path, "<absent>") != found.get(path, "<absent>")
        }
        if different:
            differences[name] = different
    known = {name: value for name, value in KNOWN_DIFFERENCES.items() if name.startswith(f"{scenario}/")}
    assert differences == known
