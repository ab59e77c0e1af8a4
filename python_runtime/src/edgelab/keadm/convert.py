"""`keadm convert`: devices, models and statuses in KubeEdge's other layout, without a cluster."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from edgelab.keadm.report import Answer, Failure, Format, Output, report


class Version(enum.StrEnum):
    """Layouts of `devices.kubeedge.io`."""

    v1beta1 = "v1beta1"
    v1alpha2 = "v1alpha2"


def convert(
    files: Annotated[list[str], typer.Option("--filename", "-f", help="manifest, directory, or - for stdin")],
    to: Annotated[Version, typer.Option("--to", help="layout of the devices that are printed")] = (
        Version.v1beta1
    ),
    output: Output = Format.text,
) -> None:
    """Print manifests with their devices in one layout; other objects stay as they are."""
    report(output, lambda: convert_files(files, to.value))


def convert_files(files: list[str], version: str) -> Answer:
    """Convert every object of `files`. Raises Failure naming the object and the field."""
    from edgelab.keadm.manifests import read
    from edgelab.objects.deviceversions import convert as devices
    from edgelab.objects.deviceversions.fields import LayoutError
    from edgelab.settings.document import dump

    objects = [obj for file in files for obj in read(file)]
    try:
        converted = [
            devices.convert(obj, version) if obj["apiVersion"].startswith(f"{devices.GROUP}/") else obj
            for obj in objects
        ]
    except LayoutError as error:
        raise Failure(str(error)) from error
    changed = sum(new is not old for new, old in zip(converted, objects, strict=True))
    data = {"changed": False, "converted": changed, "objects": converted}
    return Answer(data, "---\n".join(dump(obj) for obj in converted))
