"""Files that volumes project from objects: ConfigMaps, secrets, the downward API, tokens."""

from __future__ import annotations

from typing import Any

from edgelab.edgecore.edged import env, fields, podspec
from edgelab.edgecore.edged.atomic import File
from edgelab.edgecore.edged.fields import PodFacts
from edgelab.edgecore.edged.problems import ContainerProblem
from edgelab.edgecore.interfaces import Meta, NoAnswer, Offline, RemoteError

Obj = dict[str, Any]
DEFAULT_MODE = 0o644
TOKEN_MODE = 0o600
DEFAULT_EXPIRATION = 3600
SOURCES = ("configMap", "secret", "downwardAPI", "serviceAccountToken")


async def files(pod: Obj, kind: str, source: Obj, meta: Meta, facts: PodFacts) -> dict[str, File]:
    """All files of a volume of `kind`, its key in `volumes`. Raises ContainerProblem and ValueError."""
    mode = source.get("defaultMode")
    mode = DEFAULT_MODE if mode is None else int(mode)
    if kind != "projected":
        return await _source(pod, kind, source, mode, meta=meta, facts=facts)
    found: dict[str, File] = {}
    for part in source.get("sources") or []:
        for name in (name for name in part if part[name] is not None):
            if name not in SOURCES:
                raise ValueError(f"projected source {name} is not offered on this node")
            found.update(await _source(pod, name, part[name], mode, meta=meta, facts=facts))
    return found


async def _source(
    pod: Obj, kind: str, source: Obj, mode: int, *, meta: Meta, facts: PodFacts
) -> dict[str, File]:
    if kind == "serviceAccountToken":
        return await _token(pod, source, mode, meta)
    if kind == "downwardAPI":
        return _downward(pod, source, mode, facts)
    stored = "secret" if kind == "secret" else "configmap"
    name = source.get("secretName") or source.get("name", "")
    reference = {"name": name, "optional": source.get("optional")}
    data = await env.read(meta, stored, pod["metadata"]["namespace"], reference)
    if data is None:
        return {}
    items = source.get("items")
    if not items:
        return {key: File(content, mode) for key, content in data.items()}
    chosen: dict[str, File] = {}
    for item in items:
        if item["key"] in data:
            own = item.get("mode")
            chosen[item["path"]] = File(data[item["key"]], mode if own is None else int(own))
        elif not source.get("optional"):
            raise ValueError(f"{stored} {name!r} references non-existent key: {item['key']}")
    return chosen


def _downward(pod: Obj, source: Obj, mode: int, facts: PodFacts) -> dict[str, File]:
    found: dict[str, File] = {}
    for item in source.get("items") or []:
        if item.get("fieldRef"):
            text = fields.pod_field(pod, item["fieldRef"]["fieldPath"], facts)
        else:
            first = podspec.containers(pod)[0]
            text = fields.resource_field(pod, first, item.get("resourceFieldRef") or {}, facts)
        own = item.get("mode")
        found[item["path"]] = File(text.encode(), mode if own is None else int(own))
    return found


async def _token(pod: Obj, source: Obj, mode: int, meta: Meta) -> dict[str, File]:
    metadata, account = pod["metadata"], pod["spec"].get("serviceAccountName") or "default"
    audience = source.get("audience")
    request: Obj = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"creationTimestamp": None},
        "spec": {
            "audiences": [audience] if audience else [],
            "expirationSeconds": int(source.get("expirationSeconds") or DEFAULT_EXPIRATION),
            "boundObjectRef": {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
        "status": {"token": "", "expirationTimestamp": None},
    }
    try:
        answer = await meta.service_account_token(metadata["namespace"], account, request)
    except RemoteError as error:
        raise ContainerProblem("FailedMount", f"failed to fetch token: {error}") from None
    except (Offline, NoAnswer):
        raise ContainerProblem(
            "FailedMount", f"no valid token of service account {account!r} is stored and the cloud is away"
        ) from None
    token = str((answer.get("status") or {}).get("token") or "")
    if not token:
        raise ContainerProblem("FailedMount", f"failed to fetch token of service account {account!r}: empty")
    user, group = podspec.common_user(pod), (pod["spec"].get("securityContext") or {}).get("fsGroup")
    private = user is not None or group is not None
    return {source["path"]: File(token.encode(), TOKEN_MODE if private else mode, user)}
