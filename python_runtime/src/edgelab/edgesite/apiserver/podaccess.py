"""The ServiceAccount admission plugin: every pod's account, and its token in the place where clients look.

`plugin/pkg/admission/serviceaccount/admission.go`; the volume is the projected one of KEP-1205.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver.access.podreferences import secrets as secret_names
from edgelab.edgesite.apiserver.authorization import refused
from edgelab.edgesite.apiserver.objectmeta import SUFFIX
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

MIRROR = "kubernetes.io/config.mirror"
ENFORCE = "kubernetes.io/enforce-mountable-secrets"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607  # an hour and a margin, as kube-apiserver asks for: it marks tokens that may be extended


def missing(pod: Obj, account: str) -> ApiError:
    """403 for a pod whose account does not exist."""
    where = f"{pod['metadata']['namespace']}/{account}"
    return _refused(pod, f'error looking up service account {where}: serviceaccount "{account}" not found')


def _refused(pod: Obj, why: str) -> ApiError:
    """403, by the name that was asked for: the rest of a generated one is made up later in kube-apiserver."""
    name, prefix = pod["metadata"].get("name") or "", pod["metadata"].get("generateName") or ""
    shown = prefix if prefix and name.startswith(prefix) else name
    return refused("", "pods", shown, why)


def check_mountable(pod: Obj, account: Obj) -> None:
    """An account may ask that its pods use only the secrets that it names. Raises ApiError 403."""
    if (account["metadata"].get("annotations") or {}).get(ENFORCE) != "true":
        return
    spec, name = pod["spec"], account["metadata"]["name"]
    own = {item.get("name") for item in account.get("secrets") or ()}
    denied = f"is not allowed because service account {name} does not reference that"
    for volume in spec.get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName")
        if secret and secret not in own:
            raise _refused(pod, f'volume with secret.secretName="{secret}" {denied} secret')
    for title, containers in (("init container", "initContainers"), ("container", "containers")):
        for container in spec.get(containers) or ():
            for how, secret in _environment(container):
                if secret not in own:
                    text = f'{title} {container["name"]} with {how} referencing secret.secretName="{secret}"'
                    raise _refused(pod, f"{text} {denied} secret")
    pull = {item.get("name") for item in account.get("imagePullSecrets") or ()}
    for position, item in enumerate(spec.get("imagePullSecrets") or ()):
        if item.get("name") not in pull:
            text = f'imagePullSecrets[{position}].name="{item.get("name")}"'
            raise _refused(pod, f"{text} {denied} imagePullSecret")


def _environment(container: Obj) -> Iterator[tuple[str, str]]:
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
        if reference:
            yield f"envVar {variable['name']}", reference.get("name") or ""
    for source in container.get("envFrom") or ():
        if source.get("secretRef"):
            yield "envFrom", source["secretRef"].get("name") or ""


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
        raise _refused(pod, problem)


def give_access(pod: Obj, account: Obj) -> None:
    """Pull secrets and, unless pod or account say no, the account's token for each container. Raises
    ApiError 403 for secrets that the account keeps from its pods.
    """
    spec = pod["spec"]
    if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if wanted:
        _mount(spec)
    check_mountable(pod, account)


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
