"""The commands of `keadm mqtt`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelab.keadm.report import Answer, Failure, Format, Output, report

if TYPE_CHECKING:
    from edgelab.keadm.mqtt.exchange import Received
    from edgelab.keadm.mqtt.requests import Broker, Publication

app = typer.Typer(help="Speak to an MQTT broker.", no_args_is_help=True)
STDIN = Path("-")


@app.callback()
def room() -> None:
    """Keep `publish` a word of its own although it is the only command."""


@app.command()
def publish(
    *,
    topic: Annotated[str, typer.Option("--topic", "-t", help="where to publish")],
    message: Annotated[
        str, typer.Option("--message", "-m", help="payload; every user of the host sees it")
    ] = "",
    request: Annotated[
        Path | None,
        typer.Option("--request", help="JSON file with payload and password instead, - for stdin"),
    ] = None,
    qos: Annotated[int, typer.Option("--qos", "-q", min=0, max=2, help="0, 1 or 2")] = 1,
    retain: Annotated[
        bool, typer.Option("--retain", "-r", help="the broker keeps it for those to come")
    ] = False,
    wait_for: Annotated[str, typer.Option("--wait-for", help="topic on which an answer is awaited")] = "",
    host: Annotated[str, typer.Option("--host", help="the broker")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=1, max=65535, help="default: 1883, with TLS 8883")
    ] = None,
    username: Annotated[str, typer.Option("--username", "-u", help="user at the broker")] = "",
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="file with the user's password, - for stdin")
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="use TLS; the other flags of TLS imply it")] = False,
    cafile: Annotated[
        Path | None, typer.Option("--cafile", help="authorities to trust; default: the system's")
    ] = None,
    cert: Annotated[Path | None, typer.Option("--cert", help="certificate of this client")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="its key")] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="seconds for everything")] = 10.0,
    check: Annotated[bool, typer.Option("--check", help="only tell what would be published")] = False,
    output: Output = Format.text,
) -> None:
    """Publish a message, and wait until the broker has it or until it is answered."""
    from edgelab.keadm.mqtt.requests import PORT, TLS_PORT, Broker, Publication, Tls

    def work() -> Answer:
        payload, password = secrets(message, request, password_file)
        files = Tls(cafile, cert, key) if tls or cafile or cert or key else None
        broker = Broker(host, port or (TLS_PORT if files else PORT), username, password, files)
        publication = Publication(topic, payload.encode(), qos, retain, wait_for)
        return _publish(broker, publication, timeout, check=check)

    report(output, work)


def secrets(message: str, request: Path | None, password_file: Path | None) -> tuple[str, str]:
    """Payload and password from where they are. Raises Failure."""
    from edgelab.keadm.mqtt.requests import spoken

    if request is not None and (message or password_file):
        raise Failure("--request holds payload and password: leave out --message and --password-file")
    if request is not None:
        return spoken(_text("--request", request))
    return message, "" if password_file is None else _text("--password-file", password_file).strip()


def _text(flag: str, path: Path) -> str:
    from edgelab.keadm.mqtt.requests import readable

    return sys.stdin.read() if path == STDIN else readable(flag, path).decode("utf-8", "replace")


def _publish(broker: Broker, message: Publication, seconds: float, *, check: bool) -> Answer:
    broker.check()
    message.check()
    told = {
        "changed": True,
        "broker": broker.address,
        "topic": message.topic,
        "size": len(message.payload),
        "qos": message.qos,
        "retain": message.retain,
    }
    words = f"{len(message.payload)} bytes to {message.topic} at {broker.address}"
    if check:
        return Answer(told, f"would publish {words}")
    answer = _exchange(broker, message, seconds)
    if answer is None:
        return Answer(told, f"published {words}")
    summary = answer.summary()
    return Answer({**told, "answer": summary}, f"{summary['topic']} {summary['payload']}")


def _exchange(broker: Broker, message: Publication, seconds: float) -> Received | None:
    try:
        from edgelab.keadm.mqtt.exchange import exchange
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("paho"):
            raise
        raise Failure(
            "MQTT needs the Python package paho-mqtt, which the runtime of a host that is nothing but cloud"
            " does without: ask from an edge node"
        ) from None
    return exchange(broker, message, seconds=seconds)
