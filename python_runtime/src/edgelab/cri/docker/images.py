"""Images through the Docker Engine API."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import msgspec

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.docker import reading
from edgelab.cri.docker.http import Engine
from edgelab.cri.errors import CriError

PULL_SILENCE = 300.0
"""Seconds without a word from Docker after which a pull has failed; it tells of progress all the time."""


class DockerImages:
    """Find, list, pull and remove."""

    def __init__(self, engine: Engine, deadline: float) -> None:
        self._engine = engine
        self._deadline = deadline

    async def inspect(self, reference: str) -> dict[str, Any] | None:
        """What Docker knows of an image by name or id; None when it is not there."""
        try:
            found = await self._engine.call("GET", f"/images/{reference}/json", deadline=self._deadline)
        except CriError as error:
            if error.not_found:
                return None
            raise
        return dict(found)

    async def all(self) -> list[pb.Image]:
        """All images that have a name or that a container uses."""
        listed = await self._engine.call("GET", "/images/json", deadline=self._deadline)
        return [reading.image(item) for item in listed]

    async def pull(self, reference: str, auth: pb.AuthConfig | None) -> str:
        """Pull; gives the image's id. Raises CriError with the registry's own words."""
        name, tag = split_reference(reference)
        headers = {} if auth is None else {"X-Registry-Auth": _header(auth)}
        query = {"fromImage": name, "tag": tag}
        rest = b""
        async with self._engine.stream("POST", "/images/create", query=query, headers=headers) as answer:
            while (part := await _within(PULL_SILENCE, anext(answer.body, None))) is not None:
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    _check(line)
        _check(rest)
        found = await self.inspect(reference)
        if found is None:
            raise CriError("NOT_FOUND", f"image {reference!r} is not there after it was pulled")
        return str(found["Id"])

    async def remove(self, reference: str) -> None:
        """Remove an image with all its names; not being there is fine."""
        found = await self.inspect(reference)
        if found is None:
            return
        names = found.get("RepoTags") or []
        if not reference.startswith("sha256:") or len(names) <= 1:
            names = [reference]
        for name in names:  # an id with several names cannot be removed at once
            await self._engine.call("DELETE", f"/images/{name}", deadline=self._deadline)


def split_reference(reference: str) -> tuple[str, str]:
    """(name, tag or digest) as /images/create wants them; without either it would pull all tags."""
    name, at, digest = reference.partition("@")
    if at:
        return name, digest
    head, colon, tag = reference.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (reference, "latest")


async def _within(seconds: float, wanted: Any) -> Any:
    try:
        async with asyncio.timeout(seconds):
            return await wanted
    except TimeoutError:
        raise CriError("DEADLINE_EXCEEDED", f"Docker said nothing of the pull for {seconds:.0f} s") from None


def _check(line: bytes) -> None:
    if line.strip() and (problem := msgspec.json.decode(line).get("error")):
        code = "NOT_FOUND" if "not found" in problem or "manifest unknown" in problem else "UNKNOWN"
        raise CriError(code, problem)


def _header(auth: pb.AuthConfig) -> str:
    content = {
        "username": auth.username,
        "password": auth.password,
        "auth": auth.auth,
        "serveraddress": auth.server_address,
        "identitytoken": auth.identity_token,
        "registrytoken": auth.registry_token,
    }
    return base64.urlsafe_b64encode(msgspec.json.encode(content)).decode()
