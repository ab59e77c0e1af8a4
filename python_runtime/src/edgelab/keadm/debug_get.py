"""`keadm debug get`: the objects that the node knows, out of its database, with or without a cloud."""

from __future__ import annotations

import datetime as dt
import enum
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelab.keadm.join import DEFAULT_CONFIG
from edgelab.keadm.report import Answer, Failure, Format, report

DEFAULT_DATABASE = Path("/var/lib/kubeedge/edgecore.db")
ALL = ("pod", "service", "secret", "configmap", "endpoints")
SHORT = {
    **{"po": "pod", "no": "node", "svc": "service", "cm": "configmap", "ep": "endpoints"},
    **{"pods": "pod", "nodes": "node", "services": "service", "secrets": "secret"},
    **{"configmaps": "configmap", "endpoint": "endpoints", "leases": "lease", "devices": "device"},
    **{"devicemodels": "devicemodel", "events": "event"},
}
GLOBAL = frozenset({"node"})
MASK = "********"


class Form(enum.StrEnum):
    """How objects are printed."""

    table = "table"
    wide = "wide"
    json = "json"
    yaml = "yaml"


def get(
    kind: Annotated[str, typer.Argument(help="pod, node, service, secret, configmap, endpoints, ... or all")],
    name: Annotated[str, typer.Argument(help="only the one of this name")] = "",
    *,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="namespace")] = "default",
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="of all namespaces")] = False,
    selector: Annotated[str, typer.Option("--selector", "-l", help="label selector")] = "",
    database: Annotated[
        Path | None, typer.Option("--edgedb-path", "-p", help="EdgeCore's database; default: as configured")
    ] = None,
    config_file: Annotated[Path, typer.Option("--config", "-c", help="edgecore.yaml")] = DEFAULT_CONFIG,
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="print the values of Secrets too")
    ] = False,
    output: Annotated[Form, typer.Option("--output", "-o", help="table, wide, json or yaml")] = Form.table,
) -> None:
    """Print Kubernetes objects that EdgeCore has stored; a cloud is not asked."""
    from edgelab.keadm import machine

    def work() -> Answer:
        host = machine.this()
        path = host.path(database or configured(host.path(config_file)))
        kinds = ALL if kind == "all" else (known(kind),)
        where = None if all_namespaces else namespace
        found = {one: select(path, one, where, selector, name) for one in kinds}
        if name and not any(found.values()):
            raise Failure(f"there is no {kind} {name!r} in {path}")
        if not show_secrets:
            mask(found.get("secret", []))
        return show(found, output, namespaces=all_namespaces)

    report(Format.json if output is Form.json else Format.text, work)


def configured(config: Path) -> Path:
    """Where edgecore.yaml says that the database is."""
    from edgelab.settings.document import read_yaml

    if not config.exists():
        return DEFAULT_DATABASE
    database = read_yaml(config.read_text(encoding="utf-8"), str(config)).get("database") or {}
    return Path(database.get("dataSource") or DEFAULT_DATABASE)


def known(kind: str) -> str:
    """The kind as the database names it. Raises Failure."""
    from edgelab.keadm.edge_store import KINDS

    found = SHORT.get(kind.lower(), kind.lower())
    if found not in KINDS:
        raise Failure(f"{kind!r} is no kind that an edge node stores: {', '.join(KINDS)}, all")
    return found


def select(path: Path, kind: str, namespace: str | None, selector: str, name: str) -> list[dict[str, Any]]:
    """Objects of a kind. Raises Failure."""
    from edgelab.keadm.edge_store import objects
    from edgelab.objects.selectors import SelectorError, parse_labels

    try:
        labels = parse_labels(selector)
    except SelectorError as error:
        raise Failure(f"--selector {selector!r}: {error}") from None
    return [
        obj
        for obj in objects(path, kind)
        if labels.matches(obj["metadata"].get("labels"))
        and (not name or obj["metadata"].get("name") == name)
        and (namespace is None or kind in GLOBAL or obj["metadata"].get("namespace") == namespace)
    ]


def mask(secrets: list[dict[str, Any]]) -> None:
    """Take the values out of Secrets; their keys stay."""
    for secret in secrets:
        for part in ("data", "stringData"):
            if secret.get(part):
                secret[part] = dict.fromkeys(secret[part], MASK)


def show(found: dict[str, list[dict[str, Any]]], output: Form, *, namespaces: bool) -> Answer:
    """What is printed; JSON and YAML are kubectl's list."""
    from edgelab.keadm.tables import table
    from edgelab.settings.document import dump

    items = [obj for objects in found.values() for obj in objects]
    listed = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}
    if output in (Form.json, Form.yaml):
        return Answer(listed, dump(json.loads(json.dumps(listed))))
    now = dt.datetime.now(dt.UTC)
    tables = [
        table(kind, objects, now, wide=output is Form.wide, namespaces=namespaces and kind not in GLOBAL)
        for kind, objects in found.items()
        if objects
    ]
    return Answer(listed, "\n\n".join(tables) or "no such objects on this node")
