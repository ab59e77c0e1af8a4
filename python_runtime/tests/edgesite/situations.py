"""Situations: requests, and the state that controllers bring about after each of them.

A step either sends something (`do`, or `each` for every object of a list; with `keep` the uid of what was
answered stands for `{{uid:<name>}}` from then on) or looks (`see`): it waits until
nothing changes any more and takes down all objects of the kinds that are named, without what differs
from run to run: uids, times, the random ends of names, hashes of Go structures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from edgelab.daemon.clock import SYSTEM, Clock, rfc3339

Call = Callable[..., Awaitable[tuple[int, Any]]]
DROPPED = {"uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink", "terminatingReplicas"}
"""The last one is written since Kubernetes 1.35; the recorded server was older."""
RANDOM = "[bcdfghjklmnpqrstvwxz2456789]"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MERGE = "application/merge-patch+json"
INSTANT = 1e-6
"""On a driven loop all that a step set off is done within it, so that the next one races with nothing."""
LOOKS = 5
"""So often nothing must have changed, too: a busy machine may stand still for a while."""


class Situation:
    """Plays steps in a namespace of its own; after `quiet` seconds without a change all is done.

    `sleep` steps are waits for the clock; `rest` steps are what the recorded server needed, times `pace`.
    With the clock of a driven loop, time passes only when what was set off is done.
    """

    def __init__(
        self, call: Call, namespace: str, quiet: float, pace: float = 1.0, *, clock: Clock = SYSTEM
    ) -> None:
        self._clock = clock
        self._call = call
        self._namespace = namespace
        self._quiet = quiet
        self._pace = pace
        self._prefixes = {"kube-api-access-"}
        self._hashes: dict[str, str] = {}
        self._dropped = DROPPED
        self._uids: dict[str, str] = {}

    async def play(self, steps: list[dict[str, Any]]) -> dict[str, Any]:
        """What was seen, by the names of the steps."""
        await self._post("/api/v1/namespaces", {"metadata": {"name": self._namespace}})
        seen: dict[str, Any] = {}
        for step in steps:
            await self._clock.sleep(INSTANT)
            if "see" in step:
                self._dropped = DROPPED | set(step.get("drop", ()))
                seen[step["name"]] = await self._see(step["see"])
            elif "each" in step:
                await self._each(step)
            elif "sleep" in step:
                await self._clock.sleep(step["sleep"])
            elif "rest" in step:
                await self._clock.sleep(step["rest"] * self._pace)
            else:
                seen |= await self._do(step)
        return seen

    async def leave(self, steps: list[dict[str, Any]]) -> None:
        """Delete what was made outside the namespace, then the namespace."""
        for step in steps:
            method, path = step.get("do", "GET -").split(" ", 1)
            if method == "POST" and "{{ns}}" not in path:
                await self._call("DELETE", f"{path}/{step['body']['metadata']['name']}")
        await self._call("DELETE", f"/api/v1/namespaces/{self._namespace}")

    def _filled(self, value: Any) -> Any:
        now = rfc3339(self._clock.now())
        text = json.dumps(value).replace("{{ns}}", self._namespace).replace("{{now}}", now)
        for name, uid in self._uids.items():
            text = text.replace(f"{{{{uid:{name}}}}}", uid)
        return json.loads(text)

    async def _post(self, path: str, body: Any) -> None:
        status, answer = await self._call("POST", path, body)
        assert status == 201, answer

    async def _do(self, step: dict[str, Any]) -> dict[str, Any]:
        method, path = self._filled(step["do"]).split(" ", 1)
        body = self._filled(step["body"]) if "body" in step else None
        media = step.get("type", MERGE if method == "PATCH" else "application/json")
        for _ in range(50):
            status, answer = await self._call(method, path, body, type=media)
            if not step.get("until") or status == step["until"]:
                break
            await self._clock.sleep(0.1)
        if "answer" in step:
            return {step["name"]: {"status": status, "body": self._normal(answer)}}
        assert status < 300, (step, answer)
        if "keep" in step:
            self._uids[step["keep"]] = answer["metadata"]["uid"]
        return {}

    async def _each(self, step: dict[str, Any]) -> None:
        """Patch or delete the objects of a list (the unready ones, those that are going); `take` so many."""
        [listed] = await self._still([step["each"]])
        path = self._filled(step["each"]).partition("?")[0]
        items = sorted(listed, key=lambda item: item["metadata"]["name"])
        if step.get("ending"):
            items = [item for item in items if item["metadata"].get("deletionTimestamp")]
        if step.get("unready"):
            items = [item for item in items if not _is_ready(item)]
        for item in items[: step.get("take")]:
            one = f"{path}/{item['metadata']['name']}" + ("/status" if "status" in step else "")
            if "status" in step:
                patch = {"status": self._filled(step["status"])}
                status, answer = await self._call("PATCH", one, patch, type=MERGE)
            elif "patch" in step:
                status, answer = await self._call("PATCH", one, self._filled(step["patch"]), type=MERGE)
            else:
                status, answer = await self._call("DELETE", one, {"gracePeriodSeconds": 0})
            assert status in (200, 404), answer  # a controller may have deleted it meanwhile

    async def _see(self, paths: list[str]) -> Any:
        lists = await self._still(paths)
        self._learn([item for part in lists for item in part])
        return {path: self._shown(path, part) for path, part in zip(paths, lists, strict=True)}

    async def _still(self, paths: list[str]) -> list[list[Any]]:
        """The lists once nothing in them changes any more."""
        before: Any = None
        since, looks = self._clock.monotonic(), 0
        while True:
            lists = [await self._list(path) for path in paths]
            versions = [item["metadata"]["resourceVersion"] for part in lists for item in part]
            if versions != before:
                before, since, looks = versions, self._clock.monotonic(), 0
            elif looks >= LOOKS and self._clock.monotonic() - since >= self._quiet:
                return lists
            looks += 1
            await self._clock.sleep(self._quiet / LOOKS)

    async def _list(self, path: str) -> list[Any]:
        status, answer = await self._call("GET", self._filled(path))
        assert status == 200, answer
        items: list[Any] = answer["items"]
        return items

    def _learn(self, items: list[Any]) -> None:
        """Which parts of names are random or hashes."""
        for item in sorted(items, key=lambda item: item["metadata"]["creationTimestamp"]):
            metadata = item["metadata"]
            marks = metadata.get("labels") or {}
            owners = {owner["kind"] for owner in metadata.get("ownerReferences") or ()}
            digest = marks.get("pod-template-hash")
            if "DaemonSet" in owners:
                digest = marks.get("controller-revision-hash")
            if digest and digest not in self._hashes:
                self._hashes[digest] = f"<hash-{len(self._hashes) + 1}>"
            if prefix := metadata.get("generateName"):
                self._prefixes.add(prefix)

    def _shown(self, path: str, items: list[Any]) -> Any:
        if "/events" in path:
            return sorted({self._event(item) for item in items} - {""})
        shown = [self._normal({k: v for k, v in i.items() if k not in ("apiVersion", "kind")}) for i in items]
        return sorted(shown, key=lambda item: json.dumps(item, sort_keys=True))

    def _event(self, event: Any) -> str:
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent", "")
        if source == "default-scheduler":
            return ""
        involved = event["involvedObject"]
        what = f"{involved['kind']}/{involved['name']}"
        return self._text(" | ".join((source, what, event["type"], event["reason"], event["message"])))

    def _normal(self, node: Any) -> Any:
        if isinstance(node, dict):
            node = {key: value for key, value in node.items() if (key, value) != ("lastProbeTime", None)}
            shown = {self._text(k): self._normal(v) for k, v in node.items() if k not in self._dropped}
            if isinstance(shown.get("endpoints"), list):  # of a slice, whose order means nothing
                shown["endpoints"].sort(key=lambda item: json.dumps(item, sort_keys=True))
            return shown
        if isinstance(node, list):
            return [self._normal(item) for item in node]
        return self._text(node) if isinstance(node, str) else node

    def _text(self, text: str) -> str:
        for prefix in sorted(self._prefixes, key=len, reverse=True):
            text = re.sub(rf"{re.escape(prefix)}{RANDOM}{{5}}(?![a-z0-9])", f"{prefix}*", text)
        for digest, name in self._hashes.items():
            text = text.replace(digest, name)
        text = text.replace(self._namespace, "<ns>")
        return STAMP.sub("<time>", UUID.sub("<uid>", text))


def _is_ready(pod: Any) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
