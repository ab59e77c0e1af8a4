"""`keadm manifest`: what `keadm init` applies to the cluster, printed."""

from __future__ import annotations

from typing import Annotated

import typer

from edgelab.keadm.report import Answer, Format, Output, report

app = typer.Typer(help="Print the manifests that `keadm init` applies.")
SkipCrds = Annotated[bool, typer.Option("--skip-crds", help="without CustomResourceDefinitions")]


@app.callback(invoke_without_command=True)
def manifest(context: typer.Context, *, skip_crds: SkipCrds = False, output: Output = Format.text) -> None:
    """Print the namespace and the CRDs as YAML. CloudCore itself is a unit, and its keys are made by init."""
    if context.invoked_subcommand is None:
        generate(skip_crds=skip_crds, output=output)


@app.command()
def generate(*, skip_crds: SkipCrds = False, output: Output = Format.text) -> None:
    """The same."""
    from edgelab.keadm.cloud import crds, namespace_object
    from edgelab.settings.document import dump

    def work() -> Answer:
        objects = [namespace_object(), *([] if skip_crds else crds())]
        text = "---\n".join(dump(obj) for obj in objects)
        return Answer({"changed": False, "objects": objects}, text)

    report(output, work)
