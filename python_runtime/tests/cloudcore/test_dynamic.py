"""DynamicController: shared watches, what nodes may ask, and requests in the API's form."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from tests.cloudcore.cloud import eventually
from tests.kube.fake_api import FakeApi

from edgelab.cloudcore.cloudhub.tracker import Entry, SyncTracker
from edgelab.cloudcore.dynamiccontroller import requests
from edgelab.cloudcore.dynamiccontroller.filters import for_edge
from edgelab.cloudcore.dynamiccontroller.guard import Guard
from edgelab.cloudcore.dynamiccontroller.topology import BELONGING_TO, Topology
from edgelab.cloudcore.dynamiccontroller.watches import LIMIT, Scope, Watches
from edgelab.cloudcore.edgecontroller.permissions import Permissions
from edgelab.cloudcore.interfaces import Courier
from edgelab.kube.resources import CONFIG_MAPS, PODS, SECRETS, SERVICES
from edgelab.objects.status import ApiError
from edgelab.protocol.content.applications import Key, PatchOption, application
from edgelab.protocol.session.delivery import Delivery


class Pushes:
    """CloudHub, as far as watches see it."""

    def __init__(self) -> None:
        self.pushed: list[tuple[str, str, str]] = []

    def push(self, node: str, delivery: Delivery) -> None:
        assert delivery.source == "dynamiccontroller"
        self.pushed.append((node, delivery.operation, delivery.resource))


@contextlib.asynccontextmanager
async def watching(entries: dict[str, Entry] | None = None, sees: Any = None) -> AsyncIterator[Any]:
    api, hub = FakeApi(), Pushes()
    tracker = SimpleNamespace(entries=lambda node: entries or {})
    watches = Watches(api, cast(Courier, hub), cast(SyncTracker, tracker), sees)
    try:
        yield SimpleNamespace(api=api, hub=hub, watches=watches)
    finally:
        await watches.close()


def service(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "spec": {}}


async def test_nodes_that_watch_the_same_share_an_informer_until_the_last_one_ends() -> None:
    async with watching() as world:
        scope = Scope(SERVICES, "default")
        await world.api.create(SERVICES, service("a"), "default")
        world.watches.add("edge1", "w1", scope)
        world.watches.add("edge1", "w2", scope)
        await eventually(lambda: len(world.hub.pushed) == 1)
        world.watches.add("edge2", "w3", scope)
        assert world.hub.pushed[1:] == [("edge2", "insert", "default/service/a")]
        await eventually(lambda: len(world.api.watchers.get(SERVICES, ())) == 1)
        await world.api.create(SERVICES, service("b"), "default")
        await eventually(lambda: len(world.hub.pushed) == 4)
        assert world.watches.scopes == [scope]
        world.watches.keep("edge1", {"w2"})
        world.watches.keep("edge2", set())
        await world.api.delete(SERVICES, "b", "default")
        await eventually(lambda: len(world.hub.pushed) == 5)
        assert world.hub.pushed[-1] == ("edge1", "delete", "default/service/b")
        world.watches.keep("edge1", set())
        assert world.watches.scopes == []
        await eventually(lambda: not world.api.watchers[SERVICES])


async def test_what_leaves_a_selection_is_not_deleted_at_the_node() -> None:
    async with watching() as world:
        await world.api.create(SERVICES, service("a", app="x"), "default")
        world.watches.add("edge1", "w", Scope(SERVICES, "default", labels="app=x"))
        await eventually(lambda: len(world.hub.pushed) == 1)
        informer = next(iter(world.watches._shared.values())).informer
        gone = informer.store[("default", "a")]
        informer._removed(("default", "a"), gone)  # as the API server tells of it
        await eventually(lambda: len(world.hub.pushed) == 2)
        assert world.hub.pushed[1] == ("edge1", "update", "default/service/a")
        await world.api.delete(SERVICES, "a", "default")
        informer.store[("default", "a")] = gone
        informer._removed(("default", "a"), gone)
        await eventually(lambda: world.hub.pushed[-1] == ("edge1", "delete", "default/service/a"))


async def test_a_node_that_comes_back_is_told_what_has_gone() -> None:
    entries = {
        "u1": Entry("Service", "v1", "default", "old", 5),
        "u2": Entry("Service", "v1", "other", "elsewhere", 5),
        "u3": Entry("ConfigMap", "v1", "default", "of-another-kind", 5),
    }
    async with watching(entries) as world:
        await world.api.create(SERVICES, service("a"), "default")
        world.watches.add("edge1", "w", Scope(SERVICES, "default"))
        await eventually(lambda: len(world.hub.pushed) == 1)
        world.watches.bring("edge2")
        world.watches.bring("edge1")
        told = [("edge1", "insert", "default/service/a"), ("edge1", "delete", "default/service/old")]
        assert world.hub.pushed[1:] == told


async def test_a_node_has_only_so_many_watches() -> None:
    async with watching() as world:
        for number in range(LIMIT):
            world.watches.check_room("edge1")
            world.watches.add("edge1", f"w{number}", Scope(SERVICES))
        with pytest.raises(ApiError, match="128 watches") as caught:
            world.watches.check_room("edge1")
        assert caught.value.code == 429
        await asyncio.sleep(0)


class Known:
    """Permissions that know one node's pods."""

    def check_read(self, node: str, address: Any) -> None:
        if (node, address.name) != ("edge1", "mine"):
            raise ApiError(403, "no pod uses it")

    check_pod = check_read

    def check_token(self, node: str, address: Any, request: Any) -> None:
        self.check_read(node, address)
        if request.get("spec", {}).get("boundObjectRef", {}).get("name", "mine") != "mine":
            raise ApiError(403, "no pod runs as it under this name")


GUARD = Guard(cast(Permissions, Known()), "kubeedge")


@pytest.mark.parametrize(
    ("verb", "key", "subresource"),
    [
        ("get", Key("", "v1", "secrets", "default", "mine"), ""),
        ("get", Key("apps", "v1", "deployments", "default", "x"), ""),
        ("list", Key("", "v1", "secrets", "default"), ""),
        ("create", Key("", "v1", "configmaps", "default"), ""),
        ("patch", Key("", "v1", "nodes", "", "edge1"), ""),
        ("patch", Key("", "v1", "pods", "default", "mine"), "status"),
        ("create", Key("", "v1", "pods", "default", "mine"), "eviction"),
        ("create", Key("", "v1", "serviceaccounts", "default", "mine"), "token"),
        ("update", Key("example.com", "v1", "widgets", "default", "w"), ""),
        ("create", Key("authorization.k8s.io", "v1", "selfsubjectaccessreviews"), ""),
    ],
)
def test_what_a_node_may_ask(verb: str, key: Key, subresource: str) -> None:
    GUARD.check("edge1", verb, key, subresource)


@pytest.mark.parametrize(
    ("verb", "key", "subresource"),
    [
        ("get", Key("", "v1", "secrets", "default", "others"), ""),
        ("create", Key("", "v1", "secrets", "default"), ""),
        ("create", Key("", "v1", "pods", "default"), ""),
        ("delete", Key("", "v1", "pods", "default", "others"), ""),
        ("patch", Key("", "v1", "nodes", "", "edge2"), ""),
        ("create", Key("apps", "v1", "deployments", "default"), ""),
        ("update", Key("rbac.authorization.k8s.io", "v1", "clusterroles", "", "admin"), ""),
        ("create", Key("", "v1", "serviceaccounts", "default", "others"), "token"),
        ("update", Key("", "v1", "configmaps", "kube-system", "x"), ""),
        ("update", Key("", "v1", "configmaps", "kubeedge", "x"), ""),
        ("create", Key("rules.kubeedge.io", "v1", "rules", "default"), ""),
    ],
)
def test_what_a_node_may_not_ask(verb: str, key: Key, subresource: str) -> None:
    with pytest.raises(ApiError) as caught:
        GUARD.check("edge1", verb, key, subresource)
    assert caught.value.code == 403
    assert caught.value.reason == "Forbidden"


def test_a_token_is_bound_to_the_node_s_own_pod() -> None:
    key = Key("", "v1", "serviceaccounts", "default", "mine")
    foreign = {"spec": {"boundObjectRef": {"kind": "Pod", "name": "others", "uid": "another"}}}
    with pytest.raises(ApiError, match="under this name"):
        GUARD.check("edge1", "create", key, "token", foreign)


def test_secrets_are_shown_to_the_nodes_that_use_them() -> None:
    key = Key("", "v1", "secrets")
    mine, others = ({"metadata": {"name": name, "namespace": "default"}} for name in ("mine", "others"))
    assert GUARD.sees("edge1", key, mine)
    assert not GUARD.sees("edge1", key, others)
    assert not GUARD.sees("edge2", key, mine)
    assert GUARD.sees("edge2", Key("", "v1", "configmaps"), others)
    assert not Guard(None, "kubeedge").sees("edge1", key, mine)


async def test_a_watch_of_secrets_pushes_only_what_the_node_uses() -> None:
    async with watching(sees=GUARD.sees) as world:
        for name in ("mine", "others"):
            await world.api.create(SECRETS, {"metadata": {"name": name}}, "default")
        for node in ("edge1", "edge2"):
            world.watches.add(node, "w", Scope(SECRETS))
        await world.api.create(CONFIG_MAPS, {"metadata": {"name": "last"}}, "default")
        world.watches.add("edge2", "v", Scope(CONFIG_MAPS))
        await eventually(lambda: ("edge2", "insert", "default/configmap/last") in world.hub.pushed)
        assert ("edge1", "insert", "default/secret/mine") in world.hub.pushed
        assert len(world.hub.pushed) == 2


def test_requests_take_the_options_along() -> None:
    built = requests.build(
        application(
            "edge1",
            Key("apps", "v1", "deployments", "default"),
            "list",
            option={"labelSelector": "a=b", "limit": 2, "continue": "x", "watch": True},
        )
    )
    assert built.method == "GET"
    assert built.path == "/apis/apps/v1/namespaces/default/deployments"
    assert built.params == {"labelSelector": "a=b", "limit": "2", "continue": "x"}
    patch = PatchOption("x", "application/merge-patch+json", "e30=", {"force": True, "dryRun": ["All"]}, [""])
    key = Key("", "v1", "pods", "default", "x")
    built = requests.build(application("edge1", key, "patch", option=patch, subresource="status"))
    assert built.path == "/api/v1/namespaces/default/pods/x/status"
    assert built.params == {"force": "true", "dryRun": "All"}
    assert (built.body, built.content_type) == (b"{}", "application/merge-patch+json")
    built = requests.build(application("edge1", key, "updatestatus", body=b"{}"))
    assert (built.method, built.path) == ("PUT", "/api/v1/namespaces/default/pods/x/status")
    built = requests.build(application("edge1", key, "get", subresource="a/b?c"))
    assert built.path.endswith("/pods/x/a%2Fb%3Fc")


@pytest.mark.parametrize(
    ("verb", "key", "code"),
    [
        ("delete", "/core/v1/pods/default/null", 405),
        ("get", "/x", 400),
        ("eat", "/core/v1/pods/a/b", 405),
        ("get", "/core/v1/pods/default/..", 400),
        ("list", "/core/v1/pods/../null", 400),
    ],
)
def test_requests_that_make_no_sense_are_refused(verb: str, key: str, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        requests.build(application("edge1", key, verb))
    assert caught.value.code == code
    broken = application("edge1", Key("", "v1", "pods", "a", "b"), "patch", option={"Name": 1})
    with pytest.raises(ApiError, match="Option of the patch"):
        requests.build(broken)


def test_programs_at_the_edge_find_their_own_api() -> None:
    port = [{"name": "https", "port": 6443}]
    found = {
        "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
        "ports": port,
    }
    shown = for_edge(found)
    assert shown["endpoints"] == [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}]
    assert shown["ports"] == [{"name": "https", "port": 10550}]
    assert found["ports"] == port
    other = msgspec.json.decode(msgspec.json.encode({**found, "metadata": {"name": "x"}}))
    assert for_edge(other) is other
    assert for_edge({"kind": "Pod", "metadata": {}}) == {"kind": "Pod", "metadata": {}}
    assert PODS.kind == "Pod"


async def test_endpoints_of_a_node_group_are_for_its_nodes() -> None:
    api = FakeApi()
    groups = {"edge1": "north", "edge2": "south", "edge3": "north"}
    nodes = {name: {"metadata": {"labels": {BELONGING_TO: group}}} for name, group in groups.items()}
    topology = Topology(api, nodes.get)
    annotations = {"apps.kubeedge.io/service-topology": "range-nodegroup"}
    await api.create(SERVICES, {"metadata": {"name": "near", "annotations": annotations}}, "default")
    await api.create(SERVICES, {"metadata": {"name": "anywhere"}}, "default")
    await topology.prepare(Key("", "v1", "pods", "default"))
    await topology.prepare(Key("discovery.k8s.io", "v1", "endpointslices"))
    try:
        ends = [{"addresses": [name], "nodeName": name} for name in (*groups, "cloud1")]
        found = {"kind": "EndpointSlice", "endpoints": ends}
        for service, seen in (("near", ["edge1", "edge3"]), ("anywhere", [*groups, "cloud1"])):
            labels = {"kubernetes.io/service-name": service}
            metadata = {"namespace": "default", "name": f"{service}-x", "labels": labels}
            shown = topology.shown("edge1", {**found, "metadata": metadata})
            assert [end["nodeName"] for end in shown["endpoints"]] == seen
        addresses = [{"ip": name, "nodeName": name} for name in groups]
        metadata = {"namespace": "default", "name": "near"}
        old = {"kind": "Endpoints", "metadata": metadata, "subsets": [{"addresses": addresses, "ports": []}]}
        subsets = topology.shown("edge2", old)["subsets"]
        assert subsets == [{"addresses": [{"ip": "edge2", "nodeName": "edge2"}], "ports": []}]
        assert topology.shown("stranger", old)["subsets"][0]["addresses"] == []
    finally:
        await topology.close()
