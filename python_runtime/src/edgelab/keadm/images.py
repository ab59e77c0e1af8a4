"""`keadm config images`: which images a side needs, and pulling them beforehand."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from edgelab.keadm.join import DEFAULT_CONFIG
from edgelab.keadm.report import Answer, Failure, Format, Output, report

app = typer.Typer(help="List and pull the images that a side needs.", no_args_is_help=True)


class Part(enum.StrEnum):
    """Sides of a cluster."""

    cloud = "cloud"
    edge = "edge"


PartOption = Annotated[Part | None, typer.Option("--part", help="only of this side")]
Repository = Annotated[str, typer.Option("--image-repository", help="replaces everything before the name")]
Config = Annotated[Path, typer.Option("--config", help="edgecore.yaml, which may name another sandbox image")]
Version = Annotated[str, typer.Option("--kubeedge-version", hidden=True)]


@app.command("list")
def show(
    *,
    part: PartOption = None,
    image_repository: Repository = "",
    kubeedge_version: Version = "",
    config: Config = DEFAULT_CONFIG,
    output: Output = Format.text,
) -> None:
    """List images: pods' sandbox image on the edge, none in the cloud, whose daemons run as units."""
    del kubeedge_version  # the images do not depend on it

    def work() -> Answer:
        found = needed(part, image_repository, config)
        return Answer({"changed": False, "images": found}, "\n".join(found))

    report(output, work)


@app.command()
def pull(
    *,
    part: PartOption = None,
    image_repository: Repository = "",
    kubeedge_version: Version = "",
    remote_runtime_endpoint: Annotated[
        str, typer.Option("--remote-runtime-endpoint", "-p", help="the container runtime's socket")
    ] = "unix:///run/containerd/containerd.sock",
    config: Config = DEFAULT_CONFIG,
    output: Output = Format.text,
) -> None:
    """Pull them through the container runtime; one that is there is left alone."""
    del kubeedge_version

    def work() -> Answer:
        import asyncio

        from edgelab.cri.errors import CriError, RuntimeUnreachable

        wanted = needed(part, image_repository, config)
        try:
            pulled = asyncio.run(fetch(remote_runtime_endpoint, wanted))
        except (CriError, RuntimeUnreachable) as error:
            raise Failure(str(error)) from None
        lines = [f"{image} {'pulled' if image in pulled else 'is there'}" for image in wanted]
        return Answer({"changed": bool(pulled), "images": wanted, "pulled": pulled}, "\n".join(lines))

    report(output, work)


def needed(part: Part | None, repository: str, config: Path) -> list[str]:
    """Images of a side, or of both."""
    from edgelab.keadm import machine
    from edgelab.settings.document import load
    from edgelab.settings.edgecore import PROGRAM

    if part is Part.cloud:
        return []
    path = machine.this().path(config)
    settings = (
        load(path, PROGRAM.defaults(), PROGRAM.migrate).settings if path.exists() else PROGRAM.defaults()
    )
    image = settings.modules.edged.podSandboxImage
    return [f"{repository.rstrip('/')}/{image.rpartition('/')[2]}" if repository else image]


async def fetch(endpoint: str, wanted: list[str]) -> list[str]:
    """Pull what is missing; what was pulled."""
    from edgelab.cri.choice import connect

    runtime = connect(endpoint)
    try:
        missing = [image for image in wanted if await runtime.image(image) is None]
        for image in missing:
            await runtime.pull_image(image)
        return missing
    finally:
        runtime.close()
