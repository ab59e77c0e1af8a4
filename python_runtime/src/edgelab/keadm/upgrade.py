"""`keadm upgrade|backup|rollback|config-update`: another version or other settings, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgelab.keadm.cloud import DEFAULT_CONFIG as CLOUD_CONFIG
from edgelab.keadm.cluster import DEFAULT_KUBE_CONFIG, KubeConfig
from edgelab.keadm.join import DEFAULT_CONFIG as EDGE_CONFIG
from edgelab.keadm.join import DryRun, PostRun, PreRun, Settings
from edgelab.keadm.report import Answer, Failure, Format, Output, progress, report

app = typer.Typer(help="Bring a daemon of this host to another version.", no_args_is_help=True)
backup_app = typer.Typer(help="Back up what a daemon of this host keeps.", no_args_is_help=True)
rollback_app = typer.Typer(
    help="Bring a daemon of this host back to an earlier version.", no_args_is_help=True
)

ToVersion = Annotated[
    str,
    typer.Option(
        "--toVersion", "--to-version", help="a version below /opt/edgelab/venvs; default: keadm's own"
    ),
]
Config = Annotated[Path, typer.Option("--config", help="the daemon's configuration")]
Timeout = Annotated[float, typer.Option(min=1, help="seconds to wait until the daemon works")]
NO_IMAGE = "no image is pulled: a version is a directory below /opt/edgelab/venvs"


@app.command()
def edge(
    *,
    to_version: ToVersion = "",
    config: Config = EDGE_CONFIG,
    image: Annotated[str, typer.Option("--image", hidden=True)] = "",
    image_digest: Annotated[str, typer.Option("--image-digest", hidden=True)] = "",
    force: Annotated[bool, typer.Option("--force", help="do not ask")] = False,
    pre_run: PreRun = "",
    post_run: PostRun = "",
    timeout: Timeout = 60.0,
    dry_run: DryRun = False,
    output: Output = Format.text,
) -> None:
    """Bring EdgeCore to another version: check it, back up, switch, restart, wait; go back when it fails.

    Pods run on meanwhile.
    """
    words = {"--image": image, "--image-digest": image_digest}
    given = {"pre_run": pre_run, "post_run": post_run, "dry_run": dry_run, "timeout": timeout}
    _upgrade("edgecore", to_version, config, {}, given, words=words, force=force, output=output)


@app.command()
def cloud(
    *,
    to_version: ToVersion = "",
    config: Config = CLOUD_CONFIG,
    kube_config: KubeConfig = DEFAULT_KUBE_CONFIG,
    settings: Settings = [],  # noqa: B006 - typer copies it
    profile: Annotated[str, typer.Option("--profile", "--values", help="a file with values")] = "",
    kubeedge_version: Annotated[str, typer.Option("--kubeedge-version", hidden=True)] = "",
    reuse_values: Annotated[bool, typer.Option("--reuse-values", hidden=True)] = True,
    force: Annotated[bool, typer.Option("--force", help="do not ask")] = False,
    timeout: Timeout = 60.0,
    dry_run: DryRun = False,
    output: Output = Format.text,
) -> None:
    """Bring CloudCore to another version, the CRDs first; go back when it does not work.

    Settings that are there stay; --set and --profile change some.
    """
    from edgelab.keadm import helm
    from edgelab.keadm.cloud import initialise
    from edgelab.keadm.setting import parse
    from edgelab.settings.document import merge

    def prepare() -> dict[str, Any]:
        wanted, _ = helm.profile(profile)
        own, _ = helm.settings(parse(settings))
        initialise(kube_config, check=dry_run)
        return dict(merge(wanted, own))

    given = {"dry_run": dry_run, "timeout": timeout}
    words = {"--kubeedge-version": kubeedge_version}
    _upgrade("cloudcore", to_version, config, prepare, given, words=words, force=force, output=output)


def _upgrade(
    daemon: str,
    version: str,
    config: Path,
    settings: Any,
    given: dict[str, Any],
    *,
    words: dict[str, str],
    force: bool,
    output: Format,
) -> None:
    from edgelab.keadm import machine, upgrading

    def work() -> Answer:
        unusable = [name for name, value in words.items() if value]
        if unusable:
            raise Failure(f"{', '.join(unusable)}: {NO_IMAGE}; say --toVersion")
        if output is Format.text and not force and not given["dry_run"]:
            typer.confirm(
                f"Bring {daemon} of this host to {version or 'the version of this keadm'}?", abort=True
            )
        found = settings() if callable(settings) else settings
        request = upgrading.Request(daemon, version, config, found, **given)
        return upgrading.upgrade(request, machine.this(), progress(output))

    report(output, work)


@backup_app.command("edge")
def backup_edge(
    *, config: Config = EDGE_CONFIG, dry_run: DryRun = False, output: Output = Format.text
) -> None:
    """Back up edgecore.yaml, unit, environment and database to /etc/kubeedge/backup/<version>."""
    from edgelab.keadm import machine, upgrading

    request = upgrading.Request("edgecore", "", config, {}, dry_run=dry_run)
    report(output, lambda: upgrading.back_up_only(request, machine.this(), progress(output)))


@rollback_app.command("edge")
def rollback_edge(
    *,
    historical_version: Annotated[
        str, typer.Option("--historical-version", help="the version to go back to; default: the one before")
    ] = "",
    config: Config = EDGE_CONFIG,
    pre_run: PreRun = "",
    post_run: PostRun = "",
    timeout: Timeout = 60.0,
    dry_run: DryRun = False,
    output: Output = Format.text,
) -> None:
    """Bring EdgeCore back to an earlier version, with the configuration that it was backed up with.

    The database stays as it is unless the newer version changed its tables.
    """
    from edgelab.keadm import machine, upgrading

    request = upgrading.Request(
        "edgecore", historical_version, config, {}, pre_run, post_run, dry_run=dry_run, timeout=timeout
    )
    report(output, lambda: upgrading.roll_back(request, machine.this(), progress(output)))


def config_update(
    *,
    settings: Settings,
    config: Config = EDGE_CONFIG,
    pre_run: PreRun = "",
    post_run: PostRun = "",
    timeout: Timeout = 60.0,
    dry_run: DryRun = False,
    output: Output = Format.text,
) -> None:
    """Change settings in edgecore.yaml, restart EdgeCore when something changed, wait until it works."""
    from edgelab.keadm import machine, updating
    from edgelab.keadm.setting import parse

    def work() -> Answer:
        request = updating.Request(config, parse(settings), pre_run, post_run, timeout, dry_run)
        return updating.run(request, machine.this(), progress(output))

    report(output, work)
