"""Runs scenarios of `../vectors` against a server and makes its answers comparable.

A step is a request (`do`, with `type`, `accept`, `body` or `body64`), a `watch` in the background or a
`join` that collects the watches. `token` (or the variable of that name) and `anon` say who asks, `send`
with which headers. `keep` remembers a part of an answer as a variable, `wait` and `until`
repeat a request, `only` picks parts of an answer. `headers` names response headers to compare as well;
`managed` compares managedFields, which are left out otherwise; `keyed` makes lists of named things
mappings, so that `only` can pick from them.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from edgelab.daemon.clock import SYSTEM, Clock

VECTORS = Path(__file__).parents[1] / "vectors"
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


YOUNG = re.compile(r"\d{1,2}s")
"""Ages in tables, which no two runs share."""
NAMES = ("name", "resource", "subresource", "version")
CONTROLLERS = ("kube-controller-manager", "edgesite")


class Reachable(Protocol):
    """Where the requests go."""

    base: str
    admin: aiohttp.ClientSession
    anonymous: aiohttp.ClientSession


def dig(node: Any, path: str) -> Any:
    for part in filter(None, path.split(".")):
        if isinstance(node, list):
            node = node[int(part)] if part.isdecimal() and int(part) < len(node) else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return node


def picked(body: Any, only: list[str] | None) -> Any:
    if only is None:
        return body
    return {path: dig(body, path) if body is not None else None for path in only}


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(node, dict) and node:
        pairs = ((f"{prefix}.{key}" if prefix else key, value) for key, value in node.items())
    elif isinstance(node, list) and node:
        pairs = ((f"{prefix}[{i}]", value) for i, value in enumerate(node))
    else:
        return {prefix: node}
    return {path: value for name, inner in pairs for path, value in flat(inner, name).items()}


def differences(wanted: dict[str, Any], got: dict[str, Any]) -> dict[str, dict[str, tuple[Any, Any]]]:
    """For each answer that differs: path -> what the recording says, what was found."""
    result = {}
    for name, expected in wanted.items():
        left, right = flat(expected), flat(got.get(name))
        different = {
            path: (left.get(path, "<absent>"), right.get(path, "<absent>"))
            for path in sorted({*left, *right})
            if left.get(path, "<absent>") != right.get(path, "<absent>")
            and not _aged(path, left.get(path), right.get(path))
        }
        if different:
            result[name] = different
    return result


def _aged(path: str, *values: Any) -> bool:
    return "cells[" in path and all(isinstance(text, str) and YOUNG.fullmatch(text) for text in values)


def _managers(entries: list[Any]) -> list[Any]:
    """Without the controllers, which work at their own pace, and in an order that knows no time."""
    others = [entry for entry in entries if entry.get("manager") not in CONTROLLERS]
    return sorted(others, key=lambda entry: json.dumps([entry.get("operation"), entry.get("manager")]))


def keyed(node: Any) -> Any:
    """Lists of named things as mappings by their names."""
    if isinstance(node, dict):
        return {key: keyed(value) for key, value in node.items()}
    if not isinstance(node, list) or not all(isinstance(item, dict) for item in node):
        return node
    names = [next((item[key] for key in NAMES if key in item), None) for item in node]
    if None in names:
        return [keyed(item) for item in node]
    return {name.replace(".", "_"): keyed(item) for name, item in zip(names, node, strict=True)}


class Replay:
    """One run of one scenario; `run` is what names of this run end with, `clock` the server's time."""

    def __init__(self, client: Reachable, scenario: str, run: str, clock: Clock = SYSTEM) -> None:
        self.client = client
        self.clock = clock
        self.scenario = scenario
        self.suffix = run
        self.variables = {"run": run}
        self.answers: dict[str, Any] = {}
        self.watches: list[tuple[str, asyncio.Task[Any], Any]] = []

    def filled(self, value: Any) -> Any:
        """With variables, and `{{x*1000}}` as that many of x."""
        text = re.sub(
            r"\{\{(\w+)\}\}", lambda match: str(self.variables.get(match[1], "?")), json.dumps(value)
        )
        long = re.sub(r"\{\{([^{}]+)\*(\d+)\}\}", lambda match: match[1] * int(match[2]), text)
        return json.loads(long)

    def normal(self, node: Any, *, managed: bool = False) -> Any:
        if isinstance(node, dict):
            if isinstance(node.get("managedFields"), list):
                node = {**node, "managedFields": _managers(node["managedFields"])}
            kept = (key for key in sorted(node) if managed or key != "managedFields")
            return {key: self._normal_field(key, node[key], managed=managed) for key in kept}
        if isinstance(node, list):
            return [self.normal(item, managed=managed) for item in node]
        if isinstance(node, str):
            text = node.replace(self.suffix, "")
            text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<uuid>", text)
            text = re.sub(r"(current:|is too old:|RV:|in record) \(?\d+\)?", r"\1 <n>", text)
            text = re.sub(
                r'(Invalid value: ")\{\\?"(?:apiVersion|kind).*\}(": )', r"\1{}\2", text, flags=re.DOTALL
            )
            return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>", text)
        return node

    def _normal_field(self, key: str, value: Any, *, managed: bool) -> Any:
        if (key in VOLATILE and not isinstance(value, dict | list)) or key == "clusterIPs":
            return f"<{key}>" if value not in (None, "") else value
        return self.normal(value, managed=managed)

    async def run(self) -> dict[str, Any]:
        for step in json.loads((VECTORS / f"{self.scenario}.steps.json").read_text()):
            if "watch" in step:
                begun = asyncio.Event()
                task = asyncio.create_task(self._watch(step, begun))
                self.watches.append((step["name"], task, step.get("only")))
                await begun.wait()
                await self.clock.sleep(0.2)
            elif "join" in step:
                await self._join()
            elif "sleep" in step:
                await self.clock.sleep(step["sleep"])
            else:
                await self._step(step)
        return self.answers

    async def _join(self) -> None:
        while not all(task.done() for _, task, _ in self.watches):
            await self.clock.sleep(0.1)
        for name, task, only in self.watches:
            lines = [
                {"type": line["type"], "object": picked(self.normal(line["object"]), only)}
                if "type" in line
                else line
                for line in await task
            ]
            self.answers[f"{self.scenario}/{name}"] = {"watch": lines}
        self.watches = []

    async def _watch(self, step: dict[str, Any], begun: asyncio.Event) -> list[Any]:
        found: list[Any] = []
        headers = {"Accept": step.get("accept", "application/json"), "User-Agent": "recording"}
        url = self.client.base + self.filled(step["watch"])["path"]
        try:
            async with self.client.admin.get(url, headers=headers) as response:
                begun.set()
                found.append({"status": response.status})
                with suppress(TimeoutError):
                    async with asyncio.timeout(step["watch"].get("seconds", 30) + 1):
                        async for line in response.content:
                            found.append(json.loads(line))
        finally:
            begun.set()
        return found

    async def _step(self, step: dict[str, Any]) -> None:
        deadline = self.clock.monotonic() + step.get("wait", 0)
        while True:
            status, media, headers, body = await self._call(step)
            if "until" not in step or self.clock.monotonic() > deadline:
                break
            path, wanted = (part.strip() for part in step["until"].split("=="))
            if not isinstance(body, str) and str(dig(body, path)) == wanted:
                break
            await self.clock.sleep(0.1)
        for name, where in step.get("keep", {}).items():
            self.variables[name] = dig(body, where)
        if step.get("silent"):
            return
        comparable = self.normal(body, managed=step.get("managed", False))
        if step.get("keyed"):
            comparable = keyed(comparable)
        answer = {"status": status, "type": media, "body": picked(comparable, step.get("only"))}
        for name in step.get("headers", ()):
            answer[name] = self.normal(headers.getall(name, []))
        self.answers[f"{self.scenario}/{step['name']}"] = answer

    async def _call(self, step: dict[str, Any]) -> tuple[int, str, Any, Any]:
        method, path = self.filled(step["do"]).split(" ", 1)
        headers = {"Accept": step.get("accept", "application/json"), "User-Agent": "recording"}
        body = self.filled(step.get("body"))
        data: bytes | None = None
        if "body64" in step:
            data = base64.b64decode(step["body64"])
        elif isinstance(body, str):
            data = body.encode()
        elif "body" in step:
            data = json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = step.get("type", "application/json")
        headers |= self.filled(step.get("send", {}))
        token = self.variables.get(step["token"], step["token"]) if "token" in step else None
        session = self.client.anonymous if token or step.get("anon") else self.client.admin
        if token:
            headers["Authorization"] = f"Bearer {token}"
        url = self.client.base + path
        stream = None if data is None else io.BytesIO(data)
        async with session.request(method, url, data=stream, headers=headers) as response:
            text = await response.text(errors="replace")
            try:
                decoded = json.loads(text)
            except ValueError:
                decoded = text
            return response.status, response.content_type, response.headers, decoded
