"""The commands of `keadm device`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Failure, Format, Output, report

if TYPE_CHECKING:
    from edgelab.keadm.devices.applying import Outcome
    from edgelab.kube.client import HttpClient

app = typer.Typer(help="Read devices with what they report, and change them.", no_args_is_help=True)


@app.command("list")
def list_devices(
    *,
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="only of this one; default: all")] = "",
    name: Annotated[str, typer.Option("--name", help="only those of this name")] = "",
    node: Annotated[str, typer.Option("--node", help="only those of this node")] = "",
    model: Annotated[str, typer.Option("--model", help="only those of this DeviceModel")] = "",
    selector: Annotated[str, typer.Option("--selector", "-l", help="label selector")] = "",
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    output: Output = Format.text,
) -> None:
    """List devices with the values that they reported last, and how old those are."""
    wanted = {"namespace": namespace, "name": name, "node": node, "model": model, "labels": selector}
    report(output, lambda: _list(kube_config, wanted))


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="name of the device")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="namespace")] = "default",
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    output: Output = Format.text,
) -> None:
    """Tell of one device, with a line for each property: what is desired and what is reported."""
    report(output, lambda: _get(kube_config, namespace, name))


@app.command()
def apply(
    files: Annotated[list[str], typer.Option("--filename", "-f", help="manifest, directory, or - for stdin")],
    purge: Annotated[
        bool, typer.Option("--purge", help="take away what the manifests do not name, except labels")
    ] = False,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Annotated[bool, typer.Option("--check", help="only tell what would change")] = False,
    output: Output = Format.text,
) -> None:
    """Create Devices, or change in them what manifests name; properties and methods go by name."""
    report(output, lambda: _apply(kube_config, files, purge=purge, check=check))


def _list(kube_config: Path, wanted: dict[str, str]) -> Answer:
    from edgelab.keadm.devices.reading import Query, read
    from edgelab.keadm.devices.tables import listed
    from edgelab.objects.selectors import SelectorError, parse_labels

    try:
        parse_labels(wanted["labels"])
    except SelectorError as error:
        raise Failure(f"--selector {wanted['labels']!r}: {error}") from None
    query = Query(**wanted)
    found = call(kube_config, lambda api: read(api, query))
    return Answer({"changed": False, "devices": found}, listed(found))


def _get(kube_config: Path, namespace: str, name: str) -> Answer:
    from edgelab.keadm.devices.reading import Query, read
    from edgelab.keadm.devices.tables import single

    found = call(kube_config, lambda api: read(api, Query(name=name, namespace=namespace)))
    if not found:
        raise Failure(f"there is no device {namespace}/{name}", field="name")
    return Answer({"changed": False, "device": found[0]}, single(found[0]))


def _apply(kube_config: Path, files: list[str], *, purge: bool, check: bool) -> Answer:
    from edgelab.keadm.apply import answer
    from edgelab.keadm.devices.applying import apply_device
    from edgelab.keadm.manifests import read

    manifests = [obj for file in files for obj in read(file)]

    async def apply_all(api: HttpClient) -> list[Outcome]:
        return [await apply_device(api, one, purge=purge, check=check) for one in manifests]

    done = call(kube_config, apply_all)
    warnings = [line for one in done for line in one.warnings]
    told = answer([one.applied for one in done])
    lines = [told.text, *(f"warning: {line}" for line in warnings)]
    return Answer({**told.data, "warnings": warnings}, "\n".join(lines))
