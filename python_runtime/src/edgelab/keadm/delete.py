"""`keadm delete`: take away the objects that manifests describe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelab.keadm.apply import answer, order
from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig, call
from edgelab.keadm.report import Answer, Format, Output, report

if TYPE_CHECKING:
    from edgelab.keadm.applying import Applied
    from edgelab.kube.client import HttpClient


def delete(
    files: Annotated[list[str], typer.Option("--filename", "-f", help="manifest, directory, or - for stdin")],
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    check: Annotated[bool, typer.Option("--check", help="only tell what would be deleted")] = False,
    output: Output = Format.text,
) -> None:
    """Delete the objects of manifests that are there, and what they own."""
    report(output, lambda: delete_files(kube_config, files, check=check))


def delete_files(kube_config: Path, files: list[str], *, check: bool) -> Answer:
    """Delete every object of `files`, in the opposite order of `apply`."""
    from edgelab.keadm.applying import remove_object
    from edgelab.keadm.manifests import Kinds, read

    objects = [obj for file in files for obj in read(file)]

    async def delete_all(api: HttpClient) -> list[Applied]:
        kinds = Kinds(api, [])
        last_first = sorted(objects, key=order, reverse=True)
        return [await remove_object(api, await kinds.served(obj), obj, check=check) for obj in last_first]

    return answer(call(kube_config, delete_all))
