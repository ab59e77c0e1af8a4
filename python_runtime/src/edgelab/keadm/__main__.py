"""The program `keadm`."""

from __future__ import annotations

import enum
import platform
from typing import Annotated

import typer

from edgelab import KUBEEDGE_VERSION, KUBERNETES_VERSION, __version__
from edgelab.keadm import (
    apply,
    cert,
    cloud,
    config,
    convert,
    debug,
    delete,
    diagnose,
    export,
    join,
    joincommand,
    kubeconfig,
    manifest,
    node,
    offedge,
    reset,
    rollout,
    token,
    upgrade,
)
from edgelab.keadm.ctl import commands as ctl
from edgelab.keadm.devices import commands as devices
from edgelab.keadm.mqtt import commands as mqtt
from edgelab.keadm.report import Answer, Format, report

app = typer.Typer(
    name="keadm",
    help="Set up, join and inspect a KubeEdge cluster that runs on edgelab.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(cloud.init)
app.command()(cloud.gettoken)
app.command()(join.join)
app.command("join-command")(joincommand.join_command)
app.command()(apply.apply)
app.command()(convert.convert)
app.command()(delete.delete)
app.command()(export.export)
app.command()(kubeconfig.kubeconfig)
app.add_typer(reset.app, name="reset")
app.command()(rollout.rollout)
app.add_typer(cert.app, name="cert")
app.add_typer(cert.app, name="certs", hidden=True)  # the name in older instructions
app.add_typer(config.app, name="config")
app.add_typer(ctl.app, name="ctl")
app.add_typer(debug.app, name="debug")
app.add_typer(devices.app, name="device")
app.add_typer(diagnose.app, name="diagnose")
app.add_typer(manifest.app, name="manifest")
app.add_typer(mqtt.app, name="mqtt")
app.add_typer(node.app, name="node")
app.add_typer(offedge.app, name="off-edge")
app.add_typer(upgrade.app, name="upgrade")
app.add_typer(upgrade.backup_app, name="backup")
app.add_typer(upgrade.rollback_app, name="rollback")
app.command("config-update")(upgrade.config_update)
app.add_typer(token.app, name="token")


class VersionForm(enum.StrEnum):
    """Forms in which the version is printed."""

    text = "text"
    json = "json"
    yaml = "yaml"
    short = "short"


@app.command()
def version(
    short: Annotated[bool, typer.Option("--short", help="only the KubeEdge version")] = False,
    output: Annotated[
        VersionForm, typer.Option("--output", "-o", help="text, json, yaml, or short: only the version")
    ] = VersionForm.text,
) -> None:
    """Print the versions of this program and of what it is compatible with."""
    data = {
        "edgelab": __version__,
        "kubeedge": KUBEEDGE_VERSION,
        "kubernetes": KUBERNETES_VERSION,
        "python": platform.python_version(),
    }
    texts = {
        VersionForm.text: f"keadm {KUBEEDGE_VERSION} (edgelab {__version__}, Python {data['python']})",
        VersionForm.short: KUBEEDGE_VERSION,
        VersionForm.yaml: "".join(f"{key}: {value}\n" for key, value in data.items()),
    }
    form = VersionForm.short if short and output is VersionForm.text else output
    report(
        Format.json if form is VersionForm.json else Format.text,
        lambda: Answer(data, texts.get(form, "")),
    )


def main() -> None:
    """Run the command line; the exit status is 0, 1 for a failure, 2 for a wrong call."""
    app()


if __name__ == "__main__":
    main()
