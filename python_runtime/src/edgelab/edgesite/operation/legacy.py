"""`edgesite migrate`: what the files of KubeEdge's old EdgeSite (up to 1.11) have become.

That EdgeSite was a controller and a kubelet in one program, `conf/edgeSite.yaml` its file, and a Node was
made by hand from `node.json`. Its API server was somebody else's; here it is EdgeSite itself, and pods are
run by EdgeCore. Two forms of the file are read: the one with dashes (up to 1.2) and
`edgesite.config.kubeedge.io/v1alpha1`. Sources: `edgesite/conf/edgeSite.yaml` of 1.1 and
`pkg/apis/componentconfig/edgesite/v1alpha1/types.go` of 1.5.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from edgelab.daemon.errors import Fatal
from edgelab.settings import edgecore, edgecore_v1alpha1
from edgelab.settings.document import ConfigError, Problem, dump, parse, read_yaml

Obj = dict[str, Any]

V1ALPHA1 = "edgesite.config.kubeedge.io/v1alpha1"
SERVER = ("edgesite", "server", "--write-kubeconfig", "/etc/edgelab/admin.kubeconfig")
OURS = "removed: EdgeSite is the API server itself; its kubeconfig is what --write-kubeconfig names"
INSIDE = "removed: controllers and scheduler need no settings here"
TOP = {
    "controller": OURS,
    "kubeAPIConfig": OURS,
    "metamanager": "removed: EdgeCore's metaManager knows by itself where it sends",
    "database": "removed: it held what EdgeCore caches and fills again; EdgeSite's own is --data-dir",
}
EDGED = {
    "interface-name": "removed: the node's address is the one of the default route; node-ip sets another",
    "version": "removed: EdgeCore reports its own",
}
SPECIAL = {
    "image-gc-high-threshold": "imageGCHighThreshold",
    "image-gc-low-threshold": "imageGCLowThreshold",
    "podsandbox-image": "podSandboxImage",
    "maximum-dead-containers-per-container": "maximumDeadContainersPerPod",
    "edged-memory-capacity-bytes": "edgedMemoryCapacity",
    "cluster-dns": "clusterDNS",
    "node-ip": "nodeIP",
}
MQTT = {
    "server": "mqttServerExternal",
    "internal-server": "mqttServerInternal",
    "mode": "mqttMode",
    "qos": "mqttQOS",
    "retain": "mqttRetain",
    "session-queue-size": "mqttSessionQueueSize",
}


class Translation(NamedTuple):
    """The command to run, EdgeCore's part as `edgecore.yaml`, and a line for each setting that changed."""

    server: tuple[str, ...]
    edgecore: Obj
    told: list[Problem]


def translate(text: str, source: str) -> Translation:
    """What an edgeSite.yaml has become. Raises Fatal for a file that is none."""
    try:
        document = read_yaml(text, source)
    except ConfigError as error:
        raise Fatal(str(error)) from error
    if document.get("kind") == "Node":
        name = (document.get("metadata") or {}).get("name", "NAME")
        raise Fatal(
            f"{source} is a Node and no settings: `kubectl apply -f {source}` works as it did, and"
            f" `keadm node register --name {name}` does the same"
        )
    if (other := _of_another(document)) is not None:
        raise Fatal(f"{source} {other}")
    if document.get("apiVersion") == V1ALPHA1:
        new, told = _from_v1alpha1(document)
    elif document.get("apiVersion") is None and {"edged", "controller", "mqtt", "modules"} & set(document):
        new, told = _from_dashes(document)
    else:
        raise Fatal(
            f"{source} is no edgeSite.yaml: it has neither apiVersion {V1ALPHA1} nor the old sections"
        )
    told += edgecore_v1alpha1.migrate(new)
    return Translation(SERVER, _known(new, told), told)


def _of_another(document: Obj) -> str | None:
    """What else of the old tutorials a file is."""
    if document.get("kind") in ("EdgeCore", "CloudCore"):
        program = str(document["kind"]).lower()
        return f"is {document['kind']}'s file: `{program} --config FILE` reads it as it is"
    if "edgehub" in document:
        return "is EdgeCore's file of KubeEdge up to 1.2: `edgecore --minconfig` prints one of today"
    if {"loggerLevel", "writers"} & set(document):
        return (
            "says how the old EdgeSite logs: today all of it goes to the journal, `edgesite server -v 4` says"
            " more"
        )
    return None


def _from_v1alpha1(document: Obj) -> tuple[Obj, list[Problem]]:
    told = [Problem(key, why) for key, why in TOP.items() if key in document]
    modules = document.get("modules") or {}
    if "edgeController" in modules:
        told.append(Problem("modules.edgeController", INSIDE))
    kept = {key: value for key, value in modules.items() if key in ("edged", "eventBus", "metaManager")}
    if isinstance(kept.get("edged"), dict) and kept["edged"].pop("interfaceName", None) is not None:
        told.append(Problem("modules.edged.interfaceName", EDGED["interface-name"]))
    return _edgecore(kept), told


def _from_dashes(document: Obj) -> tuple[Obj, list[Problem]]:
    told = [Problem(key, why) for key, why in TOP.items() if key in document]
    kube = (document.get("controller") or {}).get("kube") or {}
    edged: Obj = {}
    for key, value in (document.get("edged") or {}).items():
        if key in EDGED:
            told.append(Problem(f"edged.{key}", EDGED[key]))
        else:
            edged[_camel(key)] = value
    edged.setdefault("hostnameOverride", kube.get("node-name") or kube.get("node-id") or "")
    bus = {MQTT.get(key, key): value for key, value in (document.get("mqtt") or {}).items()}
    told += [
        Problem(f"mqtt.{key}", f"moved: now modules.eventBus.{MQTT[key]}") for key in MQTT if MQTT[key] in bus
    ]
    if "modules" in document:
        told.append(Problem("modules.enabled", "removed: each module has its own `enable` in edgecore.yaml"))
    return _edgecore({"edged": edged, **({"eventBus": {"enable": True, **bus}} if bus else {})}), told


def _camel(key: str) -> str:
    """`hostname-override` is `hostnameOverride`."""
    return SPECIAL.get(key) or re.sub(r"-(\w)", lambda found: found[1].upper(), key)


def _edgecore(modules: Obj) -> Obj:
    """EdgeCore's file: on one box it reaches CloudCore at the loopback address."""
    hub = {
        "httpServer": "https://127.0.0.1:10002",
        "websocket": {"enable": True, "server": "127.0.0.1:10000"},
    }
    return {
        "apiVersion": edgecore_v1alpha1.V1ALPHA1,
        "kind": "EdgeCore",
        "modules": {**modules, "edgeHub": hub},
    }


def _known(document: Obj, told: list[Problem]) -> Obj:
    """The document without what today's EdgeCore does not know."""
    try:
        unknown = parse(dump(document), edgecore.EdgeCore(), source="edgecore.yaml").unknown
    except ConfigError as error:
        raise Fatal(f"the settings cannot be taken over: {error}") from error
    for problem in unknown:
        *parents, last = problem.field.split(".")
        where = document
        for parent in parents:
            where = where[parent]
        del where[last]
        told.append(Problem(problem.field, "removed: EdgeCore has no such setting any more"))
    return document


def render(found: Translation) -> str:
    """For people: commands, the file, and what became of each setting."""
    lines = [
        "# EdgeSite has no configuration file. Run it by",
        f"#     {' '.join(found.server)}",
        "# pods by CloudCore and EdgeCore beside it (docs/how-to/one-box.md), with this edgecore.yaml:",
        dump(found.edgecore).rstrip(),
        "# What became of the old settings:",
        *(f"#   {problem}" for problem in found.told),
    ]
    return "\n".join(lines)
