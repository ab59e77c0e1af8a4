"""The commands of `keadm ctl` (KubeEdge `keadm/cmd/keadm/app/cmd/ctl`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from edgelab.keadm.ctl.local import Place
from edgelab.keadm.debug_get import Form, show
from edgelab.keadm.join import DEFAULT_CONFIG
from edgelab.keadm.report import Answer, Failure, Format, Output, report

if TYPE_CHECKING:
    from edgelab.kube.interface import Resource
    from edgelab.kube.requesting import RequestClient

app = typer.Typer(help="Pods and devices of this node, with and without the cloud.", no_args_is_help=True)
get_app = typer.Typer(help="List them.", no_args_is_help=True)
describe_app = typer.Typer(help="Show everything of one.", no_args_is_help=True)
restart_app = typer.Typer(help="Restart containers.", no_args_is_help=True)
hold_app = typer.Typer(help="Start what edged holds back.", no_args_is_help=True)
edit_app = typer.Typer(help="Change one in an editor.", no_args_is_help=True)
app.add_typer(get_app, name="get")
app.add_typer(describe_app, name="describe")
app.add_typer(restart_app, name="restart")
app.add_typer(hold_app, name="unhold-upgrade")
app.add_typer(edit_app, name="edit")

Config = Annotated[Path, typer.Option("--config", help="edgecore.yaml of this host")]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="namespace")]
Everywhere = Annotated[bool, typer.Option("--all-namespaces", "-A", help="of all namespaces")]
Selector = Annotated[str, typer.Option("--selector", "-l", help="label selector")]
Token = Annotated[
    Path | None, typer.Option("--token-file", help="a ServiceAccount's token, where MetaServer asks for one")
]
Shape = Annotated[Form, typer.Option("--output", "-o", help="table, wide, json or yaml")]
Names = Annotated[list[str], typer.Argument(help="only those of these names")]
Container = Annotated[str, typer.Option("--container", "-c", help="the container, where a pod has several")]


@get_app.command("pod")
def get_pod(
    names: Names = [],  # noqa: B006 - typer copies it
    *,
    namespace: Namespace = "default",
    everywhere: Everywhere = False,
    selector: Selector = "",
    config: Config = DEFAULT_CONFIG,
    token_file: Token = None,
    output: Shape = Form.table,
) -> None:
    """List pods of this node."""
    _get(
        "pod",
        names,
        namespace="" if everywhere else namespace,
        selector=selector,
        place=Place(config, token_file),
        output=output,
    )


@get_app.command("device")
def get_device(
    names: Names = [],  # noqa: B006 - typer copies it
    *,
    namespace: Namespace = "default",
    everywhere: Everywhere = False,
    selector: Selector = "",
    config: Config = DEFAULT_CONFIG,
    token_file: Token = None,
    output: Shape = Form.table,
) -> None:
    """List devices of this node."""
    _get(
        "device",
        names,
        namespace="" if everywhere else namespace,
        selector=selector,
        place=Place(config, token_file),
        output=output,
    )


@describe_app.command("pod")
def describe_pod(
    name: Annotated[str, typer.Argument(help="the pod")],
    *,
    namespace: Namespace = "default",
    config: Config = DEFAULT_CONFIG,
    token_file: Token = None,
) -> None:
    """Show a pod as the node has it."""
    _get(
        "pod",
        [name],
        namespace=namespace,
        selector="",
        place=Place(config, token_file),
        output=Form.yaml,
    )


@describe_app.command("device")
def describe_device(
    name: Annotated[str, typer.Argument(help="the device")],
    *,
    namespace: Namespace = "default",
    config: Config = DEFAULT_CONFIG,
    token_file: Token = None,
) -> None:
    """Show a device as the node has it."""
    _get(
        "device",
        [name],
        namespace=namespace,
        selector="",
        place=Place(config, token_file),
        output=Form.yaml,
    )


@app.command("logs")
def logs(
    pod: Annotated[str, typer.Argument(help="the pod")],
    *,
    namespace: Namespace = "default",
    container: Container = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on with what comes")] = False,
    previous: Annotated[bool, typer.Option("--previous", "-p", help="of the container before")] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="with the time of each line")] = False,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="the last lines only")] = None,
    since: Annotated[int | None, typer.Option("--since", min=1, help="of the last seconds only")] = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Print the log of a container, from the container runtime: EdgeCore need not run."""
    from edgelab.keadm.ctl import containers, local

    query: dict[str, Any] = {"follow": follow, "previous": previous, "timestamps": timestamps}
    given = {"tailLines": tail, "sinceSeconds": since}
    query = {key: "true" for key, value in query.items() if value}
    query |= {key: value for key, value in given.items() if value is not None}

    def work() -> Answer:
        target = containers.Target(namespace, pod, container)
        containers.logs(local.settings(config), target, urlencode(query))
        return Answer({}, "")

    report(Format.text, work)


@app.command("exec")
def execute(
    pod: Annotated[str, typer.Argument(help="the pod")],
    command: Annotated[list[str], typer.Argument(help="after --: the command and its arguments")],
    *,
    namespace: Namespace = "default",
    container: Container = "",
    seconds: Annotated[int, typer.Option("--timeout", min=1, help="seconds that it may take")] = 60,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Run a command in a container, without a terminal and without input; ends with its exit status."""
    from edgelab.keadm.ctl import containers, local

    status = 0

    def work() -> Answer:
        nonlocal status
        target = containers.Target(namespace, pod, container)
        status = containers.execute(local.settings(config), target, command, seconds)
        return Answer({}, "")

    report(Format.text, work)
    if status:
        raise typer.Exit(status)


@restart_app.command("pod")
def restart_pod(
    names: Annotated[list[str], typer.Argument(help="the pods")],
    *,
    namespace: Namespace = "default",
    config: Config = DEFAULT_CONFIG,
    token_file: Token = None,
    output: Output = Format.text,
) -> None:
    """Stop the containers of pods; edged starts them again."""
    from edgelab.keadm.ctl import local

    def work() -> Answer:
        import json

        place = Place(config, token_file)
        path = f"/api/v1/namespaces/{namespace}/pods/restart"
        text = local.ask(place, lambda api: api.raw("POST", path, body=names))
        said = json.loads(text)
        if said.get("errMessages"):
            raise Failure("; ".join(said["errMessages"]), done=said.get("LogMessages") or [])
        return Answer({"changed": True, "done": said["LogMessages"]}, "\n".join(said["LogMessages"]))

    report(output, work)


@app.command("confirm")
def confirm(
    *, config: Config = DEFAULT_CONFIG, token_file: Token = None, output: Output = Format.text
) -> None:
    """Let an upgrade go on that waits for it."""
    _post(
        "/api/v1/taskupgrade/confirm-upgrade",
        b"",
        "the upgrade goes on",
        place=Place(config, token_file),
        output=output,
    )


@hold_app.command("pod")
def unhold_pod(
    name: Annotated[str, typer.Argument(help="the pod")],
    *,
    namespace: Namespace = "default",
    config: Config = DEFAULT_CONFIG,
    token_file: Token = None,
    output: Output = Format.text,
) -> None:
    """Start the held version of a pod."""
    where, body = "/api/v1/pods/unhold-upgrade", f"{namespace}/{name}".encode()
    _post(
        where,
        body,
        f"{namespace}/{name} is held no more",
        place=Place(config, token_file),
        output=output,
    )


@hold_app.command("node")
def unhold_node(
    name: Annotated[str, typer.Argument(help="this node")],
    *,
    config: Config = DEFAULT_CONFIG,
    token_file: Token = None,
    output: Output = Format.text,
) -> None:
    """Start the held versions of all pods."""
    where = "/api/v1/nodes/unhold-upgrade"
    _post(
        where,
        name.encode(),
        f"nothing is held on {name} any more",
        place=Place(config, token_file),
        output=output,
    )


@edit_app.command("device")
def edit_device(
    name: Annotated[str, typer.Argument(help="the device")],
    *,
    namespace: Namespace = "default",
    config: Config = DEFAULT_CONFIG,
    token_file: Token = None,
    output: Output = Format.text,
) -> None:
    """Change a device in $EDITOR; the cloud gets it, and brings it back to this node."""
    from edgelab.keadm.ctl import editing, local
    from edgelab.kube.resources import DEVICES

    place = Place(config, token_file)

    def work() -> Answer:
        before = local.ask(place, lambda api: api.get(DEVICES, name, namespace))
        after = editing.edited(before)
        if after == before:
            return Answer({"changed": False}, f"{namespace}/{name} is as it was")
        local.ask(place, lambda api: api.update(DEVICES, after, namespace))
        return Answer({"changed": True}, f"{namespace}/{name} is changed")

    report(output, work)


def _get(
    kind: str,
    names: list[str],
    *,
    namespace: str,
    selector: str,
    place: Place,
    output: Form,
) -> None:
    from edgelab.keadm.ctl import local
    from edgelab.kube.resources import DEVICES, PODS

    resource = {"pod": PODS, "device": DEVICES}[kind]

    def work() -> Answer:
        found = local.ask(place, lambda api: _items(api, resource, names, namespace, selector))
        return show({kind: found}, output, namespaces=not namespace)

    report(Format.json if output is Form.json else Format.text, work)


async def _items(
    api: RequestClient, resource: Resource, names: list[str], namespace: str, selector: str
) -> list[dict[str, Any]]:
    if not names:
        return (await api.list(resource, namespace or None, label_selector=selector)).items
    if not namespace:
        raise Failure("a name is of one namespace: -n instead of -A")
    return [await api.get(resource, name, namespace) for name in names]


def _post(path: str, body: bytes, done: str, *, place: Place, output: Format) -> None:
    from edgelab.keadm.ctl import local

    def work() -> Answer:
        local.ask(place, lambda api: api.raw("POST", path, body=body, content_type="text/plain"))
        return Answer({"changed": True}, done)

    report(output, work)
