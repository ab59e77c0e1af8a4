"""Which Rule and RuleEndpoint may be stored (KubeEdge `admit_rule.go`, `admit_ruleendpoint.go`).

A rule connects two endpoints of its namespace that exist, in one of the directions there are, says what both
need, and takes its messages from where no other rule does. Deleting is always allowed. A changed spec is
looked at like a new one, since the router follows it; the original's router keeps a rule as it was made, and
its webhook refuses every change, that of the counters in `status` (which is no subresource) among them.
"""

from __future__ import annotations

import re

from edgelab.cloudcore.webhooks.reviews import Refused, Request
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import RULE_ENDPOINTS, RULES
from edgelab.objects.deviceversions.fields import mapping
from edgelab.objects.status import ApiError

DIRECTIONS = {
    ("rest", "eventbus"),
    ("rest", "servicebus"),
    ("eventbus", "rest"),
    # The original's webhook refuses this one, which its router (and ours) can carry out.
    ("servicebus", "rest"),
    # Ours only: to the node that the target names.
    ("eventbus", "eventbus"),
    ("eventbus", "servicebus"),
}
SOURCE_KEYS = {
    "rest": ("path",),
    "eventbus": ("topic", "node_name"),
    "servicebus": ("target_url", "node_name"),
}
PORT = re.compile(r"[0-9]{1,5}")
TARGET_KEYS = {"rest": ("resource",), "eventbus": ("topic",), "servicebus": ("path",)}


class RuleChecks:
    """The checks of one cluster; raise Refused, and ApiError or Unreachable when they cannot tell."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def rule(self, request: Request) -> None:
        """A Rule that is about to be stored."""
        if not request.is_stored_anew():
            return
        spec = request.spec()
        source = await self._type_of(request.namespace, spec, "source")
        target = await self._type_of(request.namespace, spec, "target")
        if (source, target) not in DIRECTIONS:
            known = ", ".join(f"{start} to {end}" for start, end in sorted(DIRECTIONS))
            raise Refused(f"no rule leads from {source} to {target}; there is {known}")
        origin = _needed(spec, "sourceResource", SOURCE_KEYS[source], source)
        between_nodes = source == "eventbus" and target != "rest"
        aim = (*TARGET_KEYS[target], "node_name") if between_nodes else TARGET_KEYS[target]
        goal = _needed(spec, "targetResource", aim, target)
        if between_nodes and goal == (f"{request.namespace}/{origin[0].strip('/')}", origin[1]):
            raise Refused("spec.targetResource: the rule would feed itself, as this is what it listens to")
        await self._only_one_from(request, str(spec["source"]), source, origin)

    async def endpoint(self, request: Request) -> None:
        """A RuleEndpoint that is about to be stored."""
        if not request.is_stored_anew():
            return
        spec = request.spec()
        if spec.get("ruleEndpointType") != "servicebus":
            return
        port = str(mapping(spec, "properties", "spec").get("service_port") or "")
        if not PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
            raise Refused(
                "spec.properties.service_port: a servicebus endpoint needs a port from 1 to 65535,"
                f" and this is {port!r}"
            )

    async def _type_of(self, namespace: str, spec: Obj, end: str) -> str:
        name = str(spec.get(end) or "")
        if not name:
            raise Refused(f"spec.{end}: the name of a RuleEndpoint is needed")
        try:
            endpoint = await self._api.get(RULE_ENDPOINTS, name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            raise Refused(
                f"spec.{end}: there is no RuleEndpoint {name!r} in namespace {namespace!r}; make it first"
            ) from None
        return str((endpoint.get("spec") or {}).get("ruleEndpointType"))

    async def _only_one_from(self, request: Request, source: str, kind: str, origin: tuple[str, ...]) -> None:
        """Two rules of one origin would take each other's messages."""
        types = {source: kind}
        for other in (await self._api.list(RULES, request.namespace)).items:
            spec, name = other.get("spec") or {}, other["metadata"]["name"]
            resource = mapping(spec, "sourceResource", name)
            if name == request.name or tuple(resource.get(key) for key in SOURCE_KEYS[kind]) != origin:
                continue
            if await self._is_of(request.namespace, str(spec.get("source")), kind, types):
                words = " and ".join(f"{k} {v!r}" for k, v in zip(SOURCE_KEYS[kind], origin, strict=True))
                raise Refused(f"spec.sourceResource: rule {name!r} takes messages from {words} already")

    async def _is_of(self, namespace: str, endpoint: str, kind: str, known: dict[str, str]) -> bool:
        if endpoint not in known:
            try:
                found = await self._api.get(RULE_ENDPOINTS, endpoint, namespace)
                known[endpoint] = str((found.get("spec") or {}).get("ruleEndpointType"))
            except ApiError as error:
                if error.code != 404:
                    raise
                known[endpoint] = ""
        return known[endpoint] == kind


def _needed(spec: Obj, field: str, keys: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """The values of `keys`. Raises Refused for the first one that is missing."""
    found = mapping(spec, field, "spec")
    for key in keys:
        if not found.get(key):
            raise Refused(f"spec.{field}.{key}: is needed, as this end of the rule is {kind}")
    return tuple(str(found[key]) for key in keys)
