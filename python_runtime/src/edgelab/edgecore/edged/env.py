"""A container's environment, command and arguments (kubelet `makeEnvironmentVariables`, `expansion.go`)."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from edgelab.edgecore.edged import fields
from edgelab.edgecore.edged.problems import config_error
from edgelab.edgecore.interfaces import Meta, NoAnswer, Offline, RemoteError

Obj = dict[str, Any]

NAME = re.compile(r"[ -<>-~]+")
"""Names of variables since 1.32: printable ASCII without `=`."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value, keep unknown ones as they stand, and turn `$$` into `$`."""
    out, at = [], 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            out.append(text[at])
            at += 1
        elif text[at + 1] == "$":
            out.append("$")
            at += 2
        elif text[at + 1] == "(" and (end := text.find(")", at)) > 0:
            name = text[at + 2 : end]
            out.append(values.get(name, text[at : end + 1]))
            at = end + 1
        else:
            out.append(text[at : at + 2])
            at += 2
    return "".join(out)


async def environment(
    pod: Obj,
    container: Obj,
    meta: Meta,
    facts: fields.PodFacts,
    warn: Callable[[str, str], None] = lambda *_: None,
) -> dict[str, str]:
    """The container's variables in order; `warn(reason, message)` of what is left out.

    Raises ContainerProblem naming what is missing.
    """
    values: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        values.update(await _from_source(pod, source, meta, warn))
    for variable in container.get("env") or []:
        value = await _value(pod, container, variable, values, meta=meta, facts=facts)
        if value is not None:
            values[variable["name"]] = value
    return values


async def _from_source(pod: Obj, source: Obj, meta: Meta, warn: Callable[[str, str], None]) -> dict[str, str]:
    kind = "secret" if source.get("secretRef") else "configmap"
    reference = source.get("secretRef") or source.get("configMapRef") or {}
    namespace = pod["metadata"]["namespace"]
    data = await read(meta, kind, namespace, reference)
    prefix = source.get("prefix", "")
    found = {prefix + key: value.decode(errors="replace") for key, value in (data or {}).items()}
    skipped = sorted(name for name in found if not NAME.fullmatch(name))
    if skipped:
        title = "secret" if kind == "secret" else "configMap"
        text = (
            f"Keys [{', '.join(skipped)}] from the EnvFrom {title} {namespace}/{reference.get('name')} were "
        )
        text += "skipped since they are considered invalid environment variable names."
        warn("InvalidEnvironmentVariableNames", text)
    return {name: value for name, value in found.items() if name not in skipped}


async def _value(
    pod: Obj,
    container: Obj,
    variable: Obj,
    values: dict[str, str],
    *,
    meta: Meta,
    facts: fields.PodFacts,
) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(str(variable.get("value") or ""), values)
    try:
        if source.get("fieldRef"):
            return fields.pod_field(pod, source["fieldRef"]["fieldPath"], facts)
        if source.get("resourceFieldRef"):
            return fields.resource_field(pod, container, source["resourceFieldRef"], facts)
    except ValueError as error:
        raise config_error(str(error)) from None
    kind = "secret" if source.get("secretKeyRef") else "configmap"
    reference = source.get("secretKeyRef") or source.get("configMapKeyRef") or {}
    namespace = pod["metadata"]["namespace"]
    data = await read(meta, kind, namespace, reference)
    if data is None:
        return None
    found = data.get(reference.get("key", ""))
    if found is not None:
        return found.decode(errors="replace")
    if reference.get("optional"):
        return None
    title = "Secret" if kind == "secret" else "ConfigMap"
    raise config_error(
        f"couldn't find key {reference.get('key')} in {title} {namespace}/{reference.get('name')}"
    )


async def read(meta: Meta, kind: str, namespace: str, reference: Obj) -> dict[str, bytes] | None:
    """Contents of a ConfigMap or Secret; None when it is optional and absent. Raises ContainerProblem."""
    name = reference.get("name", "")
    try:
        found = await (meta.secret(namespace, name) if kind == "secret" else meta.config_map(namespace, name))
    except RemoteError as error:
        if error.reason == "NotFound" and reference.get("optional"):
            return None
        raise config_error(str(error)) from None
    except (Offline, NoAnswer):
        if reference.get("optional"):
            return None
        raise config_error(
            f'{kind} "{name}" is not stored on this node, and the cloud cannot be asked now'
        ) from None
    return contents(kind, found)


def contents(kind: str, found: Obj) -> dict[str, bytes]:
    """The keys of a ConfigMap or Secret with their bytes."""
    if kind == "secret":
        return {key: base64.b64decode(value or "") for key, value in (found.get("data") or {}).items()}
    plain = {key: str(value).encode() for key, value in (found.get("data") or {}).items()}
    binary = {key: base64.b64decode(value or "") for key, value in (found.get("binaryData") or {}).items()}
    return {**plain, **binary}
