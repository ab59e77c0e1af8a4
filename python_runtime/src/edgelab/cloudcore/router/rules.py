"""One Rule, as it is carried out: its two ends and its options (KubeEdge `cloud/pkg/router/rule`).

What it needs of the Kubernetes objects Rule and RuleEndpoint is in docs/reference/router.md, the annotations
`edgelab.io/*` too; those of the endpoints count for every rule of theirs, the rule's own go before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from edgelab.cloudcore.router import paths
from edgelab.kube.interface import Obj

PREFIX = "edgelab.io/"
REST, EVENTBUS, SERVICEBUS = "rest", "eventbus", "servicebus"
DIRECTIONS = {
    (REST, EVENTBUS),
    (REST, SERVICEBUS),
    (EVENTBUS, REST),
    (EVENTBUS, EVENTBUS),
    (EVENTBUS, SERVICEBUS),
    (SERVICEBUS, REST),
}
AUTHENTICATIONS = ("none", "token", "certificate")


class Unusable(ValueError):
    """A rule that cannot be carried out as it is; `str()` says what to change."""


class Origin(NamedTuple):
    """Where a rule's messages come from: two rules of one origin would take each other's messages.

    `where` is the namespace for REST, the node otherwise; `what` the path's segments, the topic with its
    namespace, or the URL.
    """

    kind: str
    where: str
    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """What annotations say."""

    spool: bool = False
    rate: float = 0.0
    """Messages a second; 0 means no limit."""
    authentication: str = "none"
    token_secret: str = ""
    certificate_names: tuple[str, ...] = ()
    verify: bool = True
    """Whether the certificate of a target is checked."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that can be carried out. `target` is a topic, `port:/path` or a URL, by `target_kind`."""

    namespace: str
    name: str
    uid: str
    created: str
    origin: Origin
    target_kind: str
    target: str
    target_node: str
    options: Options

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name

    @property
    def node(self) -> str:
        """The node that messages come from; empty for REST."""
        return "" if self.origin.kind == REST else self.origin.where

    @property
    def appends_whole_path(self) -> bool:
        """Whether the target gets the whole path and not only what follows the rule's own, as with the
        original's parameters: what they stand for would be lost otherwise."""
        return "{}" in self.origin.what


def parse(rule: Obj, source: Obj | None, target: Obj | None) -> Rule:
    """The rule between two RuleEndpoints. Raises Unusable."""
    metadata, spec = rule["metadata"], rule.get("spec") or {}
    for end, endpoint in (("source", source), ("target", target)):
        if endpoint is None:
            raise Unusable(f"spec.{end}: there is no RuleEndpoint {spec.get(end)!r} in this namespace")
    assert source is not None
    assert target is not None
    start, end = _type(source), _type(target)
    if (start, end) not in DIRECTIONS:
        raise Unusable(f"no rule leads from {start} to {end}")
    origin = _origin(start, metadata["namespace"], _texts(spec, "sourceResource"))
    aim, node = _target(end, _texts(spec, "targetResource"), target)
    if start != EVENTBUS:
        node = ""
    elif end != REST and not node:
        raise Unusable("spec.targetResource.node_name: is needed, as the message comes from another node")
    if (start, end) == (EVENTBUS, EVENTBUS) and (node, (aim,)) == (origin.where, origin.what):
        raise Unusable("spec.targetResource: the rule would feed itself")
    return Rule(
        metadata["namespace"],
        metadata["name"],
        metadata.get("uid", ""),
        metadata.get("creationTimestamp") or "",
        origin,
        end,
        aim,
        node,
        _options({**_annotations(source), **_annotations(target), **_annotations(rule)}, end),
    )


def _type(endpoint: Obj) -> str:
    return str((endpoint.get("spec") or {}).get("ruleEndpointType"))


def _texts(spec: Obj, field: str) -> dict[str, str]:
    found = spec.get(field)
    return {key: str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _needed(values: Mapping[str, str], field: str, key: str) -> str:
    if not values.get(key):
        raise Unusable(f"spec.{field}.{key}: is needed")
    return values[key]


def _origin(kind: str, namespace: str, values: Mapping[str, str]) -> Origin:
    field = "sourceResource"
    if kind == REST:
        try:
            return Origin(REST, namespace, paths.pattern(_needed(values, field, "path")))
        except paths.BadPath as error:
            raise Unusable(f"spec.{field}.path: {error}") from None
    node = _needed(values, field, "node_name")
    if kind == SERVICEBUS:
        return Origin(SERVICEBUS, node, (_needed(values, field, "target_url"),))
    topic = _topic(_needed(values, field, "topic"), field)
    return Origin(EVENTBUS, node, (f"{namespace}/{topic.strip('/')}",))


def _topic(topic: str, field: str) -> str:
    if set(topic) & set("+#\0"):
        raise Unusable(f"spec.{field}.topic: wildcards are not supported; name one topic")
    if topic.startswith("$"):
        raise Unusable(f"spec.{field}.topic: topics that begin with '$' are not for rules")
    return topic


def _target(kind: str, values: Mapping[str, str], endpoint: Obj) -> tuple[str, str]:
    """What the message is for, and the node that a rule between nodes names."""
    field, node = "targetResource", values.get("node_name", "")
    if kind == EVENTBUS:
        return _topic(_needed(values, field, "topic"), field), node
    if kind == REST:
        url = _needed(values, field, "resource")
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise Unusable(f"spec.{field}.resource: {url!r} is no http or https URL")
        return url, ""
    port = _texts(endpoint.get("spec") or {}, "properties").get("service_port", "")
    if not port.isascii() or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise Unusable(f"service_port of the target's RuleEndpoint: {port!r} is no port from 1 to 65535")
    path = _needed(values, field, "path")
    return f"{port}:{path if path.startswith('/') else '/' + path}", node


def _annotations(obj: Obj) -> dict[str, str]:
    found = obj["metadata"].get("annotations") or {}
    return {key.removeprefix(PREFIX): value for key, value in found.items() if key.startswith(PREFIX)}


def _options(values: Mapping[str, str], target_kind: str) -> Options:
    authentication = values.get("authentication", "none")
    if authentication not in AUTHENTICATIONS:
        known = ", ".join(AUTHENTICATIONS)
        raise Unusable(f"annotation {PREFIX}authentication: {authentication!r} is none of {known}")
    if authentication == "token" and not values.get("token-secret"):
        raise Unusable(f"annotation {PREFIX}token-secret: authentication token needs the name of a Secret")
    spool = _yes("spool", values, default=False)
    if spool and target_kind != EVENTBUS:
        raise Unusable(f"annotation {PREFIX}spool: only messages for an eventbus can be kept")
    names = (name.strip() for name in values.get("certificate-names", "").split(","))
    return Options(
        spool=spool,
        rate=_rate(values.get("rate-limit", "0")),
        authentication=authentication,
        token_secret=values.get("token-secret", ""),
        certificate_names=tuple(name for name in names if name),
        verify=_yes("tls-verify", values, default=True),
    )


def _yes(name: str, values: Mapping[str, str], *, default: bool) -> bool:
    text = values.get(name, str(default)).lower()
    if text not in ("true", "false"):
        raise Unusable(f"annotation {PREFIX}{name}: {text!r} is neither true nor false")
    return text == "true"


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not math.isfinite(rate) or rate < 0:
        raise Unusable(f"annotation {PREFIX}rate-limit: {text!r} is no number of messages a second")
    return rate
