"""Credentials for registries out of imagePullSecrets (kubelet `pkg/credentialprovider`). No I/O.

Both forms of a Secret are read: `.dockerconfigjson` and the older `.dockercfg`. An entry's key is a host with
an optional path, with `*` in parts of the host; the longest path that fits an image is tried first.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb

Obj = dict[str, Any]

DOCKER_HUB = "docker.io"
_HUB_NAMES = ("index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")


def matching(secret: Obj, image: str) -> list[pb.AuthConfig]:
    """What a Secret holds for an image, the most specific first. Raises ValueError for a broken Secret."""
    host, path = location(image)
    fitting: list[tuple[int, pb.AuthConfig]] = []
    for server, entry in _entries(secret).items():
        entry_host, entry_path = _place(server)
        if _same_host(entry_host, host) and f"{path}/".startswith(f"{entry_path}/" if entry_path else ""):
            fitting.append((len(entry_path), _auth(server, entry)))
    return [auth for _, auth in sorted(fitting, key=lambda found: found[0], reverse=True)]


def location(image: str) -> tuple[str, str]:
    """Host and path of an image's registry; Docker Hub when the name has no host."""
    first, slash, rest = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return DOCKER_HUB, image


def _entries(secret: Obj) -> dict[str, Obj]:
    data = secret.get("data") or {}
    try:
        if ".dockerconfigjson" in data:
            found = json.loads(base64.b64decode(data[".dockerconfigjson"])).get("auths") or {}
        elif ".dockercfg" in data:
            found = json.loads(base64.b64decode(data[".dockercfg"]))
        else:
            return {}
    except (binascii.Error, UnicodeDecodeError, json.JSONDecodeError, AttributeError) as error:
        raise ValueError(f"it is no Docker configuration: {error}") from error
    return {server: entry for server, entry in found.items() if isinstance(entry, dict)}


def _place(server: str) -> tuple[str, str]:
    bare = server.partition("://")[2] or server
    host, _, path = bare.strip("/").partition("/")
    if host in _HUB_NAMES:
        host = DOCKER_HUB
    # `https://index.docker.io/v1/` names a version of the API, not a part of image names.
    return host, "" if path in ("v1", "v2") else path


def _same_host(pattern: str, host: str) -> bool:
    if "*" not in pattern:
        return pattern == host
    parts, wanted = pattern.split("."), host.split(".")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, wanted, parts))


def _auth(server: str, entry: Obj) -> pb.AuthConfig:
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if not user and entry.get("auth"):
        try:
            user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise ValueError(f"the entry of {server} has an auth that is not base64") from None
    return pb.AuthConfig(
        username=user,
        password=password.rstrip("\x00"),
        server_address=server,
        identity_token=str(entry.get("identitytoken") or ""),
        registry_token=str(entry.get("registrytoken") or ""),
    )
