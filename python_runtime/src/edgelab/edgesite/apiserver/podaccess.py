"""The ServiceAccount admission plugin: every pod's account, and its token in the place where clients look.

`plugin/pkg/admission/serviceaccount/admission.go`; the volume is the projected one of KEP-1205.
"""

from __future__ import annotations

import secrets
from typing import Any

from edgelab.edgesite.apiserver.access.podreferences import secrets as secret_names
from edgelab.edgesite.apiserver.objectmeta import SUFFIX
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

MIRROR = "kubernetes.io/config.mirror"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607  # an hour and a margin, as kube-apiserver asks for: it marks tokens that may be extended


def missing(pod: Obj, account: str) -> ApiError:
    """403 for a pod whose account does not exist."""
    name, namespace = pod["metadata"].get("name") or "", pod["metadata"]["namespace"]
    return ApiError(
        403,
        f'pods "{name}" is forbidden: error looking up service account {namespace}/{account}:'
        f' serviceaccount "{account}" not found',
        details={"name": name, "kind": "pods"},
    )


def is_mirror(pod: Obj) -> bool:
    """Whether a pod only shows what a node runs by itself."""
    return MIRROR in (pod["metadata"].get("annotations") or {})


def check_mirror(pod: Obj) -> None:
    """Mirrors of a node's own files have no account and need none. Raises ApiError 403."""
    spec, problem = pod.get("spec") or {}, ""
    volumes = spec.get("volumes") or ()
    sources = (item for volume in volumes for item in (volume.get("projected") or {}).get("sources") or ())
    if spec.get("serviceAccountName"):
        problem = "a mirror pod may not reference service accounts"
    elif secret_names(pod):
        problem = "a mirror pod may not reference secrets"
    elif any(source.get("serviceAccountToken") for source in sources):
        problem = "a mirror pod may not use ServiceAccountToken volume projections"
    if problem:
        name = pod["metadata"].get("name") or ""
        text = f'pods "{name}" is forbidden: {problem}'
        raise ApiError(403, text, details={"name": name, "kind": "pods"})


def give_access(pod: Obj, account: Obj) -> None:
    """Pull secrets and, unless pod or account say no, the account's token for each container."""
    spec = pod["spec"]
    if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if wanted:
        _mount(spec)


def _mount(spec: Obj) -> None:
    name = "kube-api-access-" + "".join(secrets.choice(SUFFIX) for _ in range(5))
    mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
    needed = False
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        mounts = container.get("volumeMounts") or []
        if all(item.get("mountPath") != MOUNT_PATH for item in mounts):
            container["volumeMounts"] = [*mounts, dict(mount)]
            needed = True
    if needed:
        spec["volumes"] = [*(spec.get("volumes") or []), {"name": name, "projected": _projection()}]


def _projection() -> Obj:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    certificate = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": certificate},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 0o644,
    }
