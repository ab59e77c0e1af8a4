"""`keadm debug`: look at an edge node on the spot, with or without a cloud."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelab.keadm import diagnose
from edgelab.keadm.debug_get import get
from edgelab.keadm.join import DEFAULT_CONFIG, DEFAULT_RUNTIME
from edgelab.keadm.report import Answer, Failure, Format, Output, report

if TYPE_CHECKING:
    from edgelab.keadm import host_checks

app = typer.Typer(
    help="Look at this edge node: objects, host, what is wrong; collect it.", no_args_is_help=True
)
app.command()(get)
app.add_typer(diagnose.app, name="diagnose")

Config = Annotated[Path, typer.Option("--config", "-c", help="edgecore.yaml")]


@app.command()
def check(
    what: Annotated[
        list[str], typer.Argument(help="all, or some of arch cpu mem disk dns network pid runtime")
    ],
    *,
    domain: Annotated[str, typer.Option("--domain", "-d", help="a name that has to resolve")] = "",
    dns_ip: Annotated[str, typer.Option("--dns-ip", "-D", help="the DNS server to ask for it")] = "",
    ip: Annotated[str, typer.Option("--ip", "-i", help="an address that has to answer a ping")] = "",
    cloud_hub_server: Annotated[
        str, typer.Option("--cloud-hub-server", "-s", help="HOST:PORT of CloudCore; default: as configured")
    ] = "",
    runtime: Annotated[
        str, typer.Option("--remote-runtime-endpoint", "-p", help="the container runtime's socket")
    ] = "",
    config_file: Config = DEFAULT_CONFIG,
    output: Output = Format.text,
) -> None:
    """Check whether this host has what an edge node needs. Ends with status 1 when something is missing."""
    from edgelab.keadm import host_checks, machine
    from edgelab.keadm.checks import address
    from edgelab.keadm.diagnose_findings import FAILED, OK, Finding, answer

    wrong: list[Finding] = []

    def work() -> Answer:
        unknown = [word for word in what if word not in (*host_checks.CHECKS, "all")]
        if unknown:
            raise Failure(
                f"no such check: {', '.join(unknown)}; there are {', '.join(host_checks.CHECKS)}, all"
            )
        host = machine.this()
        if dns_ip:
            address(dns_ip, "--dns-ip")
        targets = aim(host.path(config_file), cloud_hub_server, domain, runtime)
        targets = host_checks.Targets(
            domain=targets.domain,
            dns_server=dns_ip,
            address=address(ip, "--ip") if ip else "",
            servers=targets.servers,
            runtime=targets.runtime,
            disk=host.path(targets.disk),
        )
        chosen = host_checks.CHECKS if "all" in what else dict.fromkeys(what)
        findings = [one for name in chosen for one in host_checks.CHECKS[name](targets)]
        wrong.extend(one for one in findings if one.status == FAILED)
        told = answer(findings, {})
        good = "\n".join(f"{one.status:<8} {one.code}: {one.found}" for one in findings if one.status == OK)
        return Answer(told.data, f"{good}\n{told.text}")

    report(output, work)
    if wrong:
        raise typer.Exit(1)


def aim(config: Path, server: str, domain: str, runtime: str) -> host_checks.Targets:
    """What the configuration says about where to look; words of the command line win. Raises Failure."""
    from edgelab.keadm import host_checks
    from edgelab.keadm.join import split_address
    from edgelab.settings.checks import is_ip
    from edgelab.settings.document import load
    from edgelab.settings.edgecore import PROGRAM

    if server:
        split_address(server)
    if not config.exists():
        return host_checks.Targets(
            domain, servers=[server] if server else [], runtime=runtime or DEFAULT_RUNTIME
        )
    settings = load(config, PROGRAM.defaults(), PROGRAM.migrate).settings
    hub = settings.modules.edgeHub
    https = hub.httpServer.removeprefix("https://").rstrip("/")
    carrier = hub.quic if hub.quic.enable else hub.websocket
    name = carrier.server.rpartition(":")[0].strip("[]")
    # QUIC's port is UDP, where only a connection shows whether it is open.
    servers = [*([] if hub.quic.enable else [carrier.server]), https if ":" in https else f"{https}:443"]
    servers += [settings.modules.edgeStream.server] if settings.modules.edgeStream.enable else []
    return host_checks.Targets(
        domain or ("" if is_ip(name) else name),
        servers=[server] if server else servers,
        runtime=runtime or settings.modules.edged.tailoredKubeletConfig.containerRuntimeEndpoint,
        disk=Path(settings.database.dataSource).parent,
    )


@app.command()
def collect(
    *,
    config_file: Config = DEFAULT_CONFIG,
    detail: Annotated[bool, typer.Option("--detail", "-d", help="more of the journal")] = False,
    output_path: Annotated[Path, typer.Option("--output-path", "-o", help="where the archive goes")] = Path(),
    log_path: Annotated[Path, typer.Option("--log-path", "-l", help="logs besides the journal")] = Path(
        "/var/log/kubeedge"
    ),
    output: Annotated[
        Format, typer.Option("--output", help="text for people, json for programs")
    ] = Format.text,
) -> None:
    """Collect what somebody needs who is to help, without tokens and keys: system, EdgeCore, runtime."""
    from edgelab.keadm import machine
    from edgelab.keadm.collecting import collect as work

    def run() -> Answer:
        host = machine.this()
        now = dt.datetime.now(dt.UTC)
        return work(host, host.path(config_file), output_path, host.path(log_path), now, detail=detail)

    report(output, run)
